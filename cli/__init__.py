"""Commands: each parses, makes a job and makes one call into the annotator."""
