"""What can be asked for: frozen records, checked at birth. Default, bounds and help of an option stand here.

The command line and its help, `run.json` and the checks are all made from these records.
"""

from annotator.options.benchmark import BenchmarkJob
from annotator.options.corrections import RUN_FOLDER, ConversionJob, EditJob, PullJob, PushJob
from annotator.options.evaluation import (
    MATCH_AUTO,
    MATCH_ID,
    MATCH_NAME,
    METRICS,
    PAIRED_AS_NAMED,
    EvaluationOptions,
    PairingOptions,
)
from annotator.options.faults import Attempts, FaultOptions
from annotator.options.fleet import EngineOptions, ReportJob, Shard, StorageOptions
from annotator.options.labelling import (
    DEFAULT_CVAT,
    DEVICES,
    FORMATS,
    HOLES,
    AnnotationJob,
    CvatOptions,
    DetectionOptions,
    TrackingJob,
    TrackingOptions,
)
from annotator.options.quantization import QuantizationJob
from annotator.options.reading import AS_WRITTEN, ReadingOptions
from annotator.options.record import GROUPS, Option, check, group_of, option, options_of
from annotator.options.review import ReviewJob
from annotator.options.training import (
    ARCHITECTURES,
    PRECISIONS,
    PRESETS,
    CropOptions,
    LossOptions,
    TrainingJob,
    TrainingOptions,
)

__all__ = [
    "ARCHITECTURES",
    "AS_WRITTEN",
    "DEFAULT_CVAT",
    "DEVICES",
    "FORMATS",
    "GROUPS",
    "HOLES",
    "MATCH_AUTO",
    "MATCH_ID",
    "MATCH_NAME",
    "METRICS",
    "PAIRED_AS_NAMED",
    "PRECISIONS",
    "PRESETS",
    "RUN_FOLDER",
    "AnnotationJob",
    "Attempts",
    "BenchmarkJob",
    "ConversionJob",
    "CropOptions",
    "CvatOptions",
    "DetectionOptions",
    "EditJob",
    "EngineOptions",
    "EvaluationOptions",
    "FaultOptions",
    "LossOptions",
    "Option",
    "PairingOptions",
    "PullJob",
    "PushJob",
    "QuantizationJob",
    "ReadingOptions",
    "ReportJob",
    "ReviewJob",
    "Shard",
    "StorageOptions",
    "TrackingJob",
    "TrackingOptions",
    "TrainingJob",
    "TrainingOptions",
    "check",
    "group_of",
    "option",
    "options_of",
]
