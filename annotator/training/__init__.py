"""Loss, data and loop to train the network on one's own labels."""
