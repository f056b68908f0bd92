"""What CVAT's import of a CVAT 1.1 file fails at or gets wrong, as a plain list (shared/design/formats.md).

Written from the rules alone, without a look at the writer.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path


def violations(path: Path) -> list[str]:
    """Every breach of a rule, in words; none for a file that will import as it is meant."""
    root = ET.parse(path).getroot()
    task = root.find("meta/task")
    assert task is not None
    known = {name.text for name in task.iterfind("labels/label/name")}
    start, stop = int(task.findtext("start_frame", "0")), int(task.findtext("stop_frame", "0"))
    step = int(task.findtext("frame_filter", "step=1").split("=")[1])
    in_task = set(range(start, stop + 1, step))

    found = []
    for track in root.iterfind("track"):
        where = f"track {track.get('id')}"
        shapes = list(track)
        frames = [int(shape.attrib["frame"]) for shape in shapes]
        outside = [shape.get("outside") == "1" for shape in shapes]
        if track.get("label") not in known:
            found.append(f"{where}: unknown label {track.get('label')}")
        if not any(shape.get("keyframe") == "1" for shape in shapes):
            found.append(f"{where}: no keyframe")
        if any(shape.get("keyframe") not in ("0", "1") for shape in shapes):
            found.append(f"{where}: a shape without keyframe")
        if len(set(frames)) < len(frames):
            found.append(f"{where}: a frame twice")
        if frames != sorted(frames):
            found.append(f"{where}: frames out of order")
        if not set(frames) <= in_task:
            found.append(f"{where}: a frame outside the task")
        if all(outside):
            found.append(f"{where}: never seen")
        if shapes and not outside[-1] and frames[-1] + step in in_task:
            found.append(f"{where}: runs on behind frame {frames[-1]}")
        if len({shape.findtext("attribute[@name='uid']") for shape in shapes}) != 1:
            found.append(f"{where}: uid not on every shape alike")
    for shape in root.iter("polygon"):
        if len(shape.attrib["points"].split(";")) < 3:
            found.append("a polygon with fewer than 3 points")
        if shape.findtext("attribute[@name='uid']") in (None, ""):
            found.append("a shape without uid")
    for image in root.iterfind("image"):
        if any(shape.get("label") not in known for shape in image):
            found.append(f"image {image.get('id')}: unknown label")
        if not image.get("name"):
            found.append(f"image {image.get('id')}: no name")
    if root.findall("tag"):
        found.append("a tag outside an image")
    return found
