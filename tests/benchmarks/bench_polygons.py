"""What a CVAT user gets of recordings that are labelled: python -m tests.benchmarks.bench_polygons FOLDER...

FOLDER is what spatialemb-annotate wrote for a recording. Polygons are filled again and compared with the masks; tracks
are replayed with the slow version of CVAT's interpolation and compared with the masks of every frame.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from annotator import masks, polygons
from annotator.formats.cvat import writer as cvat_writer
from annotator.formats.cvat.shapes import shapes_of
from annotator.formats.summary import LabelSummary
from annotator.options import CvatOptions
from annotator.polygons.borders import trace
from annotator.store import Store
from tests.helpers.builders import Recording
from tests.reference.cvat_interpolation import shown

DEFAULT = CvatOptions()


def main() -> None:
    """Print the figures of every recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--keyframe-iou", type=float, nargs="+", default=[0.9])
    chosen = parser.parse_args()
    for folder in chosen.folders:
        with Store.read(folder) as store:
            print(f"{folder.name}: {store.frame_count} frames, {store.instance_count} instances", flush=True)
            of_polygons(store)
            for bound in chosen.keyframe_iou:
                of_keyframes(store, bound)


def of_polygons(store: Store) -> None:
    """Print what polygons cost and keep, every frame by itself."""
    survey, overlaps, losses = LabelSummary.of(store), [], Counter[str]()
    raw = light = overlapping = gaps = 0
    seconds = 0.0
    for found in store.instances():
        label_map, shape = survey.disjoint(found), found.frame.size
        began = time.process_time()
        parts = [part for of_instance in shapes_of(label_map, losses, DEFAULT) for part in of_instance]
        seconds += time.process_time() - began
        back = polygons.fill_all([part.ring for part in parts], shape)
        exact = [part.exact for part in parts]
        overlaps += [masks.iou([a], [b])[0, 0] for a, b in zip(back, exact, strict=True)]
        light += sum(len(part.ring) for part in parts)
        raw += raw_vertices(label_map.masks, shape)
        overlapping += overlapping_pairs(back, exact)
        gaps += gap_pixels(back, exact, shape)
    print(
        f"  polygons: IoU mean {np.mean(overlaps):.4f}, min {np.min(overlaps):.4f}; {light} vertices,"
        f" {light / raw:.1%} of the raw contours'; {light / len(overlaps):.1f} a polygon"
    )
    print(f"  neighbours: {overlapping} pairs overlap, {gaps} pixels lie in gaps; lost: {dict(+losses)}")
    print(f"  {1000 * seconds / store.frame_count:.1f} CPU ms a frame")


def raw_vertices(rles: tuple[masks.Rle, ...], size: tuple[int, int]) -> int:
    """Corners of the rings along pixel edges of all parts that are no specks."""
    borders, areas = trace(masks.paint(rles, size)), masks.areas(rles)
    large = [each for each in borders.outlines if each.area >= 0.01 * areas[each.label - 1]]
    return sum(len(each.ring(borders.arcs)) for each in large)


def overlapping_pairs(back: list[masks.Rle], exact: list[masks.Rle]) -> int:
    """Pairs of polygons that share pixels, but for those of which one lies in a hole of the other that is filled."""
    return int(((masks.iou(back, back) > 0) & (masks.iou(exact, exact) == 0)).sum()) // 2


def gap_pixels(back: list[masks.Rle], exact: list[masks.Rle], size: tuple[int, int]) -> int:
    """Pixels between two neighbours that neither polygon has: all around them were labelled, and are now."""
    was, now = (masks.paint(rles, size) > 0 for rles in (exact, back))
    padded = np.pad(was, 2)
    deep = np.all(
        [padded[2 + y : 2 + y + size[0], 2 + x : 2 + x + size[1]] for y in (-2, 0, 2) for x in (-2, 0, 2)],
        axis=0,
    )
    labels = masks.paint(exact, size)
    at_border = np.zeros(size, bool)
    at_border[:, 1:] |= (labels[:, 1:] != labels[:, :-1]) & was[:, 1:] & was[:, :-1]
    at_border[1:] |= (labels[1:] != labels[:-1]) & was[1:] & was[:-1]
    return int((deep & at_border & ~now).sum())


def of_keyframes(store: Store, bound: float) -> None:
    """Print how many shapes of tracks are written, and how well the others are shown."""
    survey, all_shapes = LabelSummary.of(store), 0
    exact: dict[tuple[str, int], list[masks.Rle]] = defaultdict(list)  # by uid and frame: its parts
    for found in store.instances():
        for shapes in shapes_of(survey.disjoint(found), Counter(), DEFAULT):
            all_shapes += len(shapes)
            for shape in shapes:
                exact[shape.uid, shape.frame].append(shape.exact)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        goal = cvat_writer.write(store, Recording(), Path(folder), CvatOptions(keyframe_iou=bound)).files[0]
        seconds = time.process_time() - began
        size = goal.stat().st_size
        tracks = list(ET.parse(goal).getroot().iterfind("track"))
    seen = sum(shape.attrib["outside"] == "0" for track in tracks for shape in track)
    worst, between = [], 0
    for track in tracks:
        keyframes = {int(shape.attrib["frame"]) for shape in track}
        uid = track.findtext("polygon/attribute[@name='uid']", "")
        for frame, ring in shown(track, survey.step, survey.last):
            between += frame not in keyframes
            back = polygons.fill(np.array(ring), survey.size)
            worst.append(masks.iou([back], exact[uid, frame])[0].max())
    print(
        f"  keyframes at {bound}: {seen} of {all_shapes} shapes ({seen / all_shapes:.1%}) on {len(tracks)} tracks,"
        f" {size / 1e6:.2f} MB; {between} interpolated; worst IoU of a frame {min(worst):.4f};"
        f" {1000 * seconds / store.frame_count:.1f} CPU ms a frame for the whole file",
        flush=True,
    )


if __name__ == "__main__":
    main()
