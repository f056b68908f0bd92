"""Fit the number of the review list, and say how far it holds: python -m tests.benchmarks.fit_review FOLDER

FOLDER is for rendered drives, labelled by the model in the package; they are made at the first call. With the images of
shared/data/street/val.json, and rendered drives with planted errors, they are what trees learn from: which instances
would a person change? Half of each is held back, and the figures on it are for annotator/review/README.md; then trees
of all are written to annotator/review/doubt.safetensors. Needs scikit-learn: pip install -e ".[fit]"
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file
from scipy.optimize import linear_sum_assignment

from annotator.formats.comparison import compare
from annotator.formats.summary import LabelSummary
from annotator.instances import GroundTruth, Instances
from annotator.masks import areas, iou
from annotator.options import ReadingOptions
from annotator.review.doubt import FILE, TYPICAL, DoubtModel
from annotator.review.signs import SIGNS, Item, signs_of
from annotator.store import Store
from annotator.tracking.fit import arrays_of
from tests.helpers.builders import REAL_DATA, Labels
from tests.helpers.planted import planted

ROOT = Path(__file__).parents[2]
DRIVES = {257: 80, 9001: 45, 9002: 45, 9003: 45, 9004: 45}  # frames, by seeds that nothing was trained on
SOURCE = "Cityscapes"  # of the images of street/val.json: two cities that nothing was trained on
PLANTED = range(9101, 9125)
PLANTED_FRAMES, PLANTED_SHARE = 50, 0.06
KEPT_IOU = 0.75  # of an outline that a person would leave as it is
MATCHED = 0.5
SMALLEST = 100  # pixels of an object that is missed in a gap
WEIGHTS = {"drives": 1.0, "street": 1.0, "planted": 1.0}
TREES = {"max_iter": 160, "max_leaf_nodes": 15, "learning_rate": 0.05, "l2_regularization": 5.0}
BINS = 10


class Case(NamedTuple):
    """A recording's items, and which of them a person would change."""

    kind: str
    name: str
    signs: np.ndarray  # (N, S)
    changed: np.ndarray  # (N,)


def make_drives(folder: Path) -> None:
    """Render the drives, and label them and the images of street/val.json."""
    for seed, frames in DRIVES.items():
        if not (folder / "truth" / str(seed) / "labels.sqlite").exists():
            options = ["--seed", seed, "--frames", frames, "--truth", folder / "truth" / str(seed)]
            _python(ROOT / "examples" / "render_drive.py", folder / "drives" / f"{seed}.mp4", *options)
    annotate = ("-m", "cli.annotate", "--format", "coco", "--quiet")
    _python(*annotate, folder / "drives", "--out", folder / "labels")
    if (REAL_DATA / "street").is_dir():
        images = folder / "valimg"
        images.mkdir(exist_ok=True)
        for image in json.loads((REAL_DATA / "street" / "val.json").read_text())["images"]:
            link = images / Path(image["file_name"]).name
            if image["source"] == SOURCE and not link.exists():
                link.symlink_to((REAL_DATA / "street" / "images" / image["file_name"]).resolve())
        _python(*annotate, images, "--out", folder / "vallabels", "--no-track")


def _python(*arguments: object) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], check=True, cwd=ROOT)


def cases(folder: Path) -> Iterator[Case]:
    """All that there is to learn from."""
    for seed in PLANTED:
        drive = planted(seed, PLANTED_FRAMES, PLANTED_SHARE)
        items, signs = items_of(Labels(list(drive.instances())))
        changed = [(item.frame_index, item.track_id) in drive.errors for item in items]
        yield Case("planted", str(seed), signs, np.array(changed))
    for seed in DRIVES:
        yield labelled_case("drives", folder / "labels" / str(seed), folder / "truth" / str(seed))
    if (REAL_DATA / "street").is_dir():
        yield from _halves(
            labelled_case("street", folder / "vallabels", REAL_DATA / "street" / "val.json"), 20
        )


def items_of(reader: Any) -> tuple[list[Item], np.ndarray]:
    """All items of a recording, and their signs."""
    parts = list(signs_of(reader, LabelSummary.of(reader)))
    items = [item for part in parts for item in part.items]
    return items, np.vstack([np.zeros((0, len(SIGNS))), *(part.values for part in parts)])


def labelled_case(kind: str, labels: Path, truth: Path) -> Case:
    """The items of a recording whose truth is known; those that it says nothing of are left out."""
    [recording] = compare(labels, truth, ReadingOptions(unfinished=True)).recordings
    judged: dict[int, tuple[np.ndarray, GroundTruth]] = {}
    identities: dict[int, int] = {}  # by track: the object that it was in the frame before
    objects: dict[tuple[int, int], int] = {}  # by frame and track
    for found, real in recording.frames():
        judged[found.frame.index] = judge(found, real, identities, objects), real
    folder = recording.predicted[0].path
    with Store.read(folder) as store:
        items, signs = items_of(store)
    changed = np.array([_is_changed(item, judged, objects) for item in items])
    return Case(kind, labels.name, signs[changed >= 0], changed[changed >= 0] > 0)


def judge(
    found: Instances, truth: GroundTruth, identities: dict[int, int], objects: dict[tuple[int, int], int]
) -> np.ndarray:
    """(N,) whether a person would change each instance of a frame: 1, 0, or -1 where truth doesn't tell."""
    real = truth.instances
    overlap = iou(found.masks, real.masks)
    same = found.class_ids[:, None] == real.class_ids[None]
    rows, columns = linear_sum_assignment(-(overlap + 0.01 * same * (overlap > 0)))
    changed = np.ones(len(found), int)
    known = truth.class_ids
    if known is not None:
        changed[~np.isin(found.class_ids, list(known))] = -1
    ignored = (
        iou(found.masks, [region.mask for region in truth.ignore_regions]) if truth.ignore_regions else None
    )
    if ignored is not None and len(found):
        changed[ignored.max(1) > 0.3] = -1
    for row, column in zip(rows, columns, strict=True):
        if overlap[row, column] < MATCHED:
            continue
        is_right = same[row, column] and overlap[row, column] >= KEPT_IOU
        track, object_id = int(found.track_ids[row]), int(real.track_ids[column])
        if track and object_id:
            is_right &= identities.get(track, object_id) == object_id
            identities[track] = object_id
            objects[found.frame.index, track] = object_id
        changed[row] = 0 if is_right else 1
    return changed


def _is_changed(
    item: Item,
    judged: dict[int, tuple[np.ndarray, GroundTruth]],
    objects: dict[tuple[int, int], int],
) -> int:
    if item.frame_index not in judged:
        return -1
    changed, truth = judged[item.frame_index]
    if item.place >= 0:
        return int(changed[item.place])
    object_id = next(
        (objects[k, item.track_id] for k in range(item.frame_index, -1, -1) if (k, item.track_id) in objects),
        0,
    )
    there = np.flatnonzero(truth.instances.track_ids == object_id) if object_id else []
    return int(any(areas([truth.instances.masks[k]])[0] >= SMALLEST for k in there))


def _halves(case: Case, parts: int) -> Iterator[Case]:
    """A case of single images as several, in their order."""
    for k, which in enumerate(np.array_split(np.arange(len(case.changed)), parts)):
        yield Case(case.kind, f"{case.name}{k}", case.signs[which], case.changed[which])


def fit(of: Sequence[Case]) -> dict[str, Any]:
    """Trees of these."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    signs = np.concatenate([case.signs for case in of]).astype(np.float32)
    changed = np.concatenate([case.changed for case in of])
    weights = np.concatenate([np.full(len(case.changed), WEIGHTS[case.kind]) for case in of])
    model = HistGradientBoostingClassifier(**TREES, early_stopping=False, random_state=0)
    typical = np.median(signs[~changed & (signs[:, 0] == 0)], axis=0)
    return {**arrays_of(model.fit(signs, changed, weights)), TYPICAL: typical.astype(np.float32)}


def auc(p: np.ndarray, changed: np.ndarray) -> float:
    """The area under the ROC curve."""
    from scipy.stats import rankdata

    ranks, n = rankdata(p), int(changed.sum())
    return float((ranks[changed].sum() - n * (n + 1) / 2) / max(1, n * (len(p) - n)))


def calibration(p: np.ndarray, changed: np.ndarray) -> tuple[float, list[tuple[float, float, int]]]:
    """The expected calibration error, and of bins of p: mean p, share that is changed, number."""
    rows = []
    for k in range(BINS):
        inside = (p >= k / BINS) & ((p < (k + 1) / BINS) | (k == BINS - 1))
        if inside.any():
            rows.append((float(p[inside].mean()), float(changed[inside].mean()), int(inside.sum())))
    return sum(n * abs(mean - share) for mean, share, n in rows) / len(p), rows


def figures(of: Sequence[Case], model: DoubtModel) -> Iterator[str]:
    """What the number is worth on these, kind by kind."""
    for kind in dict.fromkeys(case.kind for case in of):
        some = [case for case in of if case.kind == kind]
        p = np.concatenate([model.probability(case.signs) for case in some])
        changed = np.concatenate([case.changed for case in some])
        error, rows = calibration(p, changed)
        first = np.concatenate(
            [
                case.changed[np.argsort(-model.probability(case.signs))][: len(case.changed) // 10]
                for case in some
            ]
        )
        yield (
            f"{kind}: {len(p)} items, {changed.mean():.2f} changed, AUC {auc(p, changed):.3f}, calibration error"
            f" {error:.3f}, first tenth holds {first.sum() / changed.sum():.2f} ({first.mean():.2f} of it changed)"
        )
        yield "  " + "; ".join(f"{mean:.2f} {share:.2f} ({n})" for mean, share, n in rows)


def main() -> None:
    """Fit, tell, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    make_drives(options.folder)
    every = list(cases(options.folder))
    held, kept = every[::2], every[1::2]
    for some, others in ((kept, held), (held, kept)):
        model = DoubtModel.from_arrays(fit(some))
        for line in figures(others, model):
            print(line, flush=True)
    save_file(fit(every), options.out)


if __name__ == "__main__":
    main()
