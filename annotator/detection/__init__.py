"""Detection: images in, instances out, frame by frame; runtime, clustering and optical flow behind one door."""

from annotator.detection.detector import Detector

__all__ = ["Detector"]
