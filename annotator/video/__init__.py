"""Reading recordings: videos and folders of images, frame by frame, and the loader that feeds the network."""
