"""Label files, one module per format, writer and reader together."""
