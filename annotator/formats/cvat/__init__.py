"""CVAT XML 1.1, of videos and of images."""
