"""What is done with recordings and runs: annotate, publish, retrack, convert, edit; each verb has a file."""
