"""Looking at labels: drawn over their frames, ranked by doubt, and on a page that opens in a browser."""
