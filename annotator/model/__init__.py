"""The networks, what their outputs mean, and checkpoints."""
