"""labelme JSON, read only."""
