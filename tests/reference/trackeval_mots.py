"""Score MOTS text with TrackEval and print its figures; run by an interpreter that has trackeval.

python trackeval_mots.py TRUTH PREDICTIONS CLASSES [OUT]  ->  {"NAME": {field: figure, ...}, "average": ...} as JSON

TRUTH and PREDICTIONS are folders of SEQUENCE.txt, lines `frame id class height width rle`; CLASSES is JSON,
{name: number in the text}. Everything between the text and the figures is TrackEval's own. With OUT it also writes
what its scripts write by default: tables, and curves as pictures.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import trackeval


def score(
    truth: Path, predictions: Path, classes: dict[str, int], out: Path | None
) -> dict[str, dict[str, object]]:
    """TrackEval's figures by class, combined over sequences, and their average over classes that occur."""
    # TrackEval wants SEQUENCE: number of frames, and predictions in FOLDER/TRACKER/SUB_FOLDER.
    lengths = {path.stem: last_frame(path) + 1 for path in sorted(truth.glob("*.txt"))}
    dataset = trackeval.datasets.KittiMOTS(
        {
            "GT_FOLDER": str(truth),
            "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt",
            "TRACKERS_FOLDER": str(predictions.parent),
            "TRACKERS_TO_EVAL": [predictions.name],
            "TRACKER_SUB_FOLDER": "",
            "SEQ_INFO": lengths,
            "OUTPUT_FOLDER": None if out is None else str(out),
        }
    )
    dataset.class_list = list(classes)
    dataset.class_name_to_class_id = {name: str(number) for name, number in classes.items()}
    settings = {"LOG_ON_ERROR": None, "OUTPUT_EMPTY_CLASSES": False}
    if out is None:
        settings |= {"OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False, "PLOT_CURVES": False}
    evaluator = trackeval.Evaluator(settings)
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(), trackeval.metrics.Identity()]
    answer, _ = evaluator.evaluate([dataset], metrics)
    combined = answer["KittiMOTS"][predictions.name]["COMBINED_SEQ"]
    parts = {name: combined[name] for name in classes}
    report: dict[str, dict[str, object]] = {name: {} for name in [*classes, "average"]}
    for metric in metrics:
        kind = metric.get_name()
        of_class = {name: part[kind] for name, part in parts.items()}
        average = metric.combine_classes_class_averaged(of_class, ignore_empty_classes=True)
        for name, fields in {**of_class, "average": average}.items():
            report[name].update({field: np.asarray(value).tolist() for field, value in fields.items()})
    return report


def last_frame(path: Path) -> int:
    return max(int(line.split(maxsplit=1)[0]) for line in path.read_text().splitlines())


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):  # TrackEval prints
        to = Path(sys.argv[4]) if len(sys.argv) > 4 else None
        figures = score(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), to)
    print(json.dumps(figures))
