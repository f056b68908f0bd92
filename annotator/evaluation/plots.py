"""Curves and pictures of an evaluation, as PNG. Needs matplotlib, which the package's extra `plots` brings."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from annotator import masks
from annotator.errors import UsageError
from annotator.evaluation.edits import GOOD
from annotator.evaluation.hota import ALPHAS
from annotator.evaluation.matching import HALF
from annotator.evaluation.report import CLASSES, Confusion, Figures, Report, WorstFrame
from annotator.files import atomic_file, atomic_folder
from annotator.instances import Instances
from annotator.labels import BY_ID

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORST = "worst_frames"
SIZES = {"APs": "small\n< 32² px", "APm": "medium\n< 96² px", "APl": "large"}
STYLES = {"DetA": "--", "AssA": ":"}  # of the lines that HOTA is made of
FITS, OVERLAPS, ALONE = (70, 190, 70), (240, 190, 40), (230, 60, 50)  # RGB, by IoU with the other side
IGNORED, WHITE = (70, 70, 70), (255, 255, 255)
CAPTION_PX, GAP_PX = 24, 8
MOST_PX = 1280  # width of one side of a picture

Image = npt.NDArray[np.uint8]  # (H, W, 3) RGB


def require_matplotlib() -> None:
    """Raise UsageError, saying how to install it, when there is no matplotlib."""
    if find_spec("matplotlib") is None:
        raise UsageError(
            '`plots` needs matplotlib; install it with: pip install "spatialemb-annotate[plots]"'
        )


def write_plots(report: Report, folder: Path) -> list[Path]:
    """Draw all that was scored into a folder, each file whole or not at all; the files. Raises OutputError.

    The worst frames have a folder of their own, DIR/worst_frames, of which older pictures vanish.
    """
    draw: dict[str, Callable[[Axes], None]] = {}
    if report.curves:
        draw["precision_recall.png"] = lambda axes: _precision_recall(axes, report)
    if "coco" in report.parts:
        draw["ap_by_size.png"] = lambda axes: _ap_by_size(axes, report.parts["coco"])
    if report.per_alpha:
        draw["hota_over_alpha.png"] = lambda axes: _hota(axes, report)
    if confusion := report.confusion:
        draw["confusion.png"] = lambda axes: _confusion(axes, confusion)
    written = []
    for name, onto in draw.items():
        _figure(folder / name, onto)
        written.append(folder / name)
    return written + _worst_frames(report, folder / WORST)


# ---- curves


def _figure(path: Path, onto: Callable[[Axes], None]) -> None:
    # Not pyplot, which would look for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    onto(figure.add_subplot())
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _precision_recall(axes: Axes, report: Report) -> None:
    classes = report.parts["cityscapes"][CLASSES]
    for name, curve in report.curves.items():
        # From no recall on, as the area under it is taken.
        recall, precision = np.append(curve.recall, 0), np.append(curve.precision, 1)
        axes.plot(recall, precision, label=f"{name} {classes[name]['AP50']:.2f}", color=_of_class(name))
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title("Precision over recall at an overlap of 0.5, with AP50")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")


def _ap_by_size(axes: Axes, coco: Figures) -> None:
    rows = {name: of_class for name, of_class in coco[CLASSES].items() if not math.isnan(of_class["AP"])}
    rows["mean"] = coco
    width = 0.8 / len(rows)
    for k, (name, figures) in enumerate(rows.items()):
        places = np.arange(len(SIZES)) + (k - (len(rows) - 1) / 2) * width
        values = [figures[size] for size in SIZES]  # a bar of nan is none
        axes.bar(places, values, width, label=name, color=_of_class(name))
    axes.set_xticks(range(len(SIZES)), list(SIZES.values()))
    axes.set(ylim=(0, 1.01), ylabel="COCO AP", title="AP by object size")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()


def _hota(axes: Axes, report: Report) -> None:
    for name, figures in report.per_alpha.items():
        axes.plot(ALPHAS, figures["HOTA"], label=f"{name} HOTA", color=_of_class(name))
        for figure, style in STYLES.items():
            axes.plot(ALPHAS, figures[figure], linestyle=style, color=_of_class(name))
    for figure, style in STYLES.items():
        axes.plot([], [], linestyle=style, color="0.3", label=figure)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="overlap alpha", title="HOTA over alpha")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _confusion(axes: Axes, confusion: Confusion) -> None:
    table = confusion.table
    # A colour is a share of the true objects of a class, and of all predictions to delete.
    shares = table / np.maximum(table.sum(axis=0), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(table), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", color=colour, fontsize=8)
    ticks = range(len(confusion.names) + 1)
    axes.set_xticks(ticks, [*confusion.names, "nothing"], rotation=45, ha="right")
    axes.set_yticks(ticks, [*confusion.names, "missing"])
    axes.set(xlabel="true", ylabel="predicted", title="Objects by class, paired at an IoU of 0.5")


def _of_class(name: str) -> str:
    """A colour that tells the class apart from the other seven; those of Cityscapes are all blue and red."""
    names = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
    return f"C{names.index(name)}" if name in names else "0.3"


# ---- the worst frames


def _worst_frames(report: Report, folder: Path) -> list[Path]:
    if not report.worst:
        return []
    names = [f"{rank:02d}.png" for rank in range(1, len(report.worst) + 1)]
    with atomic_folder(folder) as temporary:
        for name, frame in zip(names, report.worst, strict=True):
            _, content = cv2.imencode(".png", picture(frame)[..., ::-1])
            (temporary / name).write_bytes(content.tobytes())
    return [folder / name for name in names]


def picture(frame: WorstFrame) -> Image:
    """Truth on the left, predictions on the right.

    Objects are green where one of their class on the other side has an IoU of 0.9, yellow from 0.5, else red;
    ignored regions are grey. Large frames are shrunk.
    """
    overlap, true = frame.overlap, frame.truth.instances
    fits = overlap.iou() * (overlap.predicted.class_ids[:, None] == overlap.truth.class_ids)
    canvas = np.zeros((*true.frame.size, 3), np.uint8)
    for region in frame.truth.ignore_regions if len(overlap.regions) else ():  # background is no region there
        canvas[masks.decode(region.mask)] = IGNORED
    left = _side(canvas, true, fits.max(axis=0, initial=0), f"truth of {_name(frame)}")
    right = _side(
        canvas, frame.prediction, fits.max(axis=1, initial=0), f"predictions: {frame.edits} to correct"
    )
    return np.hstack([left, np.zeros((len(left), GAP_PX, 3), np.uint8), right])


def _side(canvas: Image, found: Instances, best: npt.NDArray[np.float64], caption: str) -> Image:
    """One side with its caption; `best` (N,) is the IoU of every object with its counterpart."""
    image = canvas.copy()
    for (window, top, left), iou in zip(masks.decode_windows(found.masks), best, strict=True):
        inside = image[top : top + window.shape[0], left : left + window.shape[1]]
        inside[window] = FITS if iou >= GOOD else OVERLAPS if iou >= HALF else ALONE
        outlines, _ = cv2.findContours(window.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outlines, -1, WHITE, 1, offset=(left, top))
    scale = min(1.0, MOST_PX / found.frame.size[1])
    image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    for class_id, (x, y, *_) in zip(found.class_ids, masks.boxes_xywh(found.masks), strict=True):
        _write(image, BY_ID[int(class_id)].name, (int(x * scale), max(10, int(y * scale) - 3)), 0.4)
    titled = cv2.copyMakeBorder(image, CAPTION_PX, 0, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    _write(titled, caption, (4, CAPTION_PX - 8), 0.5)
    return np.asarray(titled, np.uint8)


def _name(frame: WorstFrame) -> str:
    ref = frame.truth.instances.frame
    name = ref.name or f"frame {ref.index}"
    return name if frame.recording in name else f"{frame.recording}, {name}"


def _write(image: npt.NDArray[np.uint8], text: str, corner: tuple[int, int], height: float) -> None:
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, height, WHITE, 1, cv2.LINE_AA)
