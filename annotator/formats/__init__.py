"""Label files: a folder for each format, and one record of each in `registry`."""
