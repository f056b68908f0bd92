"""What runs the network: images in, raw maps out."""
