"""Driving video and image folders in, instance labels that people only need to correct out.

The names in `__all__` are the library; each is loaded when it is first used. All else may change at any time.

    >>> from annotator import Detector
    >>> detector = Detector.load(device="cpu")  # the model in the package
    >>> import numpy as np
    >>> len(detector.detect(np.zeros((120, 240, 3), np.uint8)))  # an image (H, W, 3), RGB
    0
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annotator.detection import Detector
    from annotator.errors import AnnotatorError
    from annotator.evaluation.report import evaluate
    from annotator.frames import FrameRef
    from annotator.instances import GroundTruth, Instances
    from annotator.library import read_labels, track, write_labels
    from annotator.options import AnnotationJob, CvatOptions, DetectionOptions, TrackingOptions, TrainingJob
    from annotator.pipeline.annotate import annotate
    from annotator.training.loop import train

__version__ = "0.1.0"

__all__ = [
    "AnnotationJob",
    "AnnotatorError",
    "CvatOptions",
    "DetectionOptions",
    "Detector",
    "FrameRef",
    "GroundTruth",
    "Instances",
    "TrackingOptions",
    "TrainingJob",
    "annotate",
    "evaluate",
    "read_labels",
    "track",
    "train",
    "write_labels",
]

_MODULES = {
    "annotator.detection": ("Detector",),
    "annotator.errors": ("AnnotatorError",),
    "annotator.evaluation.report": ("evaluate",),
    "annotator.frames": ("FrameRef",),
    "annotator.instances": ("Instances", "GroundTruth"),
    "annotator.library": ("read_labels", "track", "write_labels"),
    "annotator.options": (
        "DetectionOptions",
        "AnnotationJob",
        "CvatOptions",
        "TrackingOptions",
        "TrainingJob",
    ),
    "annotator.pipeline.annotate": ("annotate",),
    "annotator.training.loop": ("train",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a name of the library when it is first used: importing the package loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(_HOMES[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
