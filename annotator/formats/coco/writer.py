"""COCO: one JSON file with RLE masks, written and checked record by record.

Every image and annotation is one line of the file. Annotations carry `score` and `track_id` (null: none),
images `frame_index` and `source`; category ids are Cityscapes ids. `tracks` has an entry for each, with its score: the
mean of its instances, of which those filled in count for nothing. The reader is in `coco_reader`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import orjson

from annotator import masks
from annotator.files import atomic_file
from annotator.formats.coco.check import check_coco
from annotator.formats.coco.index import Record
from annotator.formats.findings import verify_sound
from annotator.formats.interface import LabelReader, RecordingInfo, Written
from annotator.formats.names import frame_stem
from annotator.formats.summary import LabelSummary, lost, shortest, text
from annotator.frames import FrameRef

FILE = "coco.json"


def write(reader: LabelReader, source: RecordingInfo, folder: Path) -> Written:
    """Write DIR/coco.json: images and tracks in a first pass over the frames, annotations in a second one."""
    goal, losses = folder / FILE, Counter[str]()
    summary = LabelSummary.of(reader)
    with atomic_file(goal) as temporary:
        with temporary.open("wb") as file:
            file.write(orjson.dumps(_head(summary, source))[:-1] + b',"images":[\n')
            frames = _write_lines(file, _images(reader, source))
            file.write(b'],"annotations":[\n')
            instances = _write_lines(file, _annotations(reader, summary, losses))
            file.write(b"]}\n")
        verify_sound(check_coco(temporary), temporary)
    return Written((goal,), frames, instances, +losses)


def _head(summary: LabelSummary, source: RecordingInfo) -> Record:
    return {
        "info": {"description": f"instances of {text(source.name)}, labelled by spatialemb-annotate"},
        "licenses": [],
        "categories": [
            {"id": label.id, "name": label.name, "supercategory": label.category} for label in summary.labels
        ],
        "tracks": [
            {
                "id": track_id,
                "category_id": life.class_id,
                "score": life.score,
                "first_frame": life.first,
                "last_frame": life.last,
            }
            for track_id, life in summary.tracks.items()
        ],
    }


def _images(reader: LabelReader, source: RecordingInfo) -> Iterator[Record]:
    for image_id, ref in enumerate(reader.frames(), 1):
        yield {
            "id": image_id,
            "file_name": text(_file_name(source, ref)),
            "width": ref.size[1],
            "height": ref.size[0],
            "frame_index": ref.index,
            "source": text(source.name),
        }


def _file_name(source: RecordingInfo, ref: FrameRef) -> str:
    """The image; for a frame of a video, which has no file, the name that its Cityscapes labels have."""
    return ref.name or f"{frame_stem(source, ref)}.png"


def _annotations(reader: LabelReader, summary: LabelSummary, losses: Counter[str]) -> Iterator[Record]:
    annotation_id = 0
    for image_id, found in enumerate(reader.instances(), 1):
        shown = summary.disjoint(found)
        losses.update(lost(found, shown))
        areas, boxes = masks.areas(shown.masks), masks.boxes_xywh(shown.masks).astype(int)
        for k, mask in enumerate(shown.masks):
            annotation_id += 1
            record: Record = {
                "id": annotation_id,
                "image_id": image_id,
                "category_id": int(shown.class_ids[k]),
                "segmentation": {"size": list(shown.frame.size), "counts": mask["counts"].decode("ascii")},
                "area": int(areas[k]),
                "bbox": boxes[k].tolist(),
                "iscrowd": 0,
                "score": shortest(shown.scores[k]),
                "track_id": int(shown.track_ids[k]) or None,
            }
            if shown.interpolated[k]:
                record["interpolated"] = True
            yield record


def _write_lines(file: IO[bytes], records: Iterable[Record]) -> int:
    count = 0
    for count, record in enumerate(records, 1):
        file.write((b",\n" if count > 1 else b"") + orjson.dumps(record))
    if count:
        file.write(b"\n")
    return count
