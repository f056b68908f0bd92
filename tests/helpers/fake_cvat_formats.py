"""What CVAT's imports take and its exports say, of tasks that are cut into jobs (see tests/reference/cvat_jobs.py).

Frames are counted as in the video; `Task` is what this needs of a task of tests/helpers/fake_cvat.py.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any, Protocol
from xml.sax.saxutils import escape, quoteattr

from tests.reference.cvat_interpolation import Point
from tests.reference.cvat_jobs import Jobs, Keyframe, Listed, Track, listed, merged, sliced

NOW = "2026-01-01T00:00:00Z"
DRAWN_BY_HAND = {"uid": "", "score": "1", "review": ""}  # where a label says nothing else


@dataclass
class Mask:
    """A painted shape of one frame of a video, with what <mask> says of it; a track can't hold it."""

    label: str
    frame: int
    said: dict[str, str]
    attributes: dict[str, str]


class Task(Protocol):
    """A task as the server has it."""

    spec: dict[str, Any]
    frames: list[int]
    names: list[str]
    size: tuple[int, int]
    tracks: list[Track]
    masks: list[Mask]
    images: dict[str, list[str]]
    deleted: set[int]
    imports: int


def jobs_of(task: Task) -> Jobs:
    """The jobs that a task was cut into; a video's share 5 frames unless it was told otherwise."""
    overlap = task.spec.get("overlap")
    usual = 0 if task.names else 5
    return Jobs.of(
        task.frames, int(task.spec.get("segment_size") or 0), usual if overlap is None else overlap
    )


# ---- import


def unknown_label(content: bytes, known: set[str]) -> str:
    """Why an import of a label fails that the task lacks, as CVAT does after all data were sent."""
    named = {element.get("label") for element in ET.fromstring(content).iter() if element.get("label")}
    return "".join(
        f"Can't import annotation: label {name!r} is not found" for name in sorted(named - known)[:1]
    )


def take_annotations(task: Task, content: bytes, format_name: str, job: int | None = None) -> str:
    """Put a file in the place of what a task has, or one of its jobs; why it fails, "" if it doesn't."""
    assert format_name == "CVAT 1.1"
    task.imports += 1
    root, jobs = ET.fromstring(content), jobs_of(task)
    allowed = task.frames if job is None else jobs.frames[job]
    tracks, masks = [], []
    for element in root.iterfind("track"):
        shapes = [shape for shape in element if shape.get("keyframe") == "1"]
        for shape in shapes:
            if int(shape.attrib["frame"]) not in allowed:
                return f"frame {shape.attrib['frame']} is not in the task"
            if shape.tag == "polygon" and len(_points(shape)) < 3:
                return "a polygon with fewer than 3 points"
        if shapes[0].tag == "mask":
            masks.append(_mask(element.attrib["label"], shapes[0]))
        else:
            tracks.append(_track(element, shapes))
    own = range(len(jobs.frames)) if job is None else [job]
    kept = [] if job is None else [track for track in task.tracks if track.job != job]
    pieces = (sliced(track, each, jobs) for each in own for track in tracks)
    task.tracks = kept + [piece for piece in pieces if piece]
    task.masks = masks if job is None else [*task.masks, *masks]
    task.images = {
        image.attrib["name"]: [ET.tostring(shape, encoding="unicode") for shape in image]
        for image in root.iterfind("image")
    }
    return ""


def _track(element: ET.Element, shapes: list[ET.Element]) -> Track:
    keyframes = {
        int(shape.attrib["frame"]): Keyframe(
            _points(shape), shape.get("outside") == "1", _attributes(shape), int(shape.get("z_order", "0"))
        )
        for shape in shapes
    }
    return Track(element.attrib["label"], element.get("group_id", "0"), keyframes)


def _mask(label: str, shape: ET.Element) -> Mask:
    said = {name: shape.attrib[name] for name in ("rle", "left", "top", "width", "height", "z_order")}
    return Mask(label, int(shape.attrib["frame"]), said, _attributes(shape))


def _points(shape: ET.Element) -> list[Point]:
    pairs = [pair.split(",") for pair in shape.attrib["points"].split(";")]
    return [(float(x), float(y)) for x, y in pairs]


def _attributes(shape: ET.Element) -> dict[str, str]:
    return {each.attrib["name"]: each.text or "" for each in shape.iterfind("attribute")}


# ---- export


def exported(number: int, task: Task, format_name: str) -> str:
    """A task as CVAT exports it: what is seen of a track, two decimals, tracks numbered anew."""
    kind = "annotation" if task.names else "interpolation"
    step = jobs_of(task).step
    head = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task><id>{number}</id>'
        f"<name>{task.spec['name']}</name><size>{len(task.frames)}</size><mode>{kind}</mode>"
        f"<start_frame>{task.frames[0]}</start_frame><stop_frame>{task.frames[-1]}</stop_frame>"
        f"<frame_filter>{f'step={step}' if step > 1 else ''}</frame_filter>{_segments(task)}"
        f"<original_size><width>{task.size[1]}</width><height>{task.size[0]}</height></original_size></task>"
        f"<dumped>{NOW}</dumped></meta>"
    )
    if format_name == "CVAT for images 1.1":
        height, width = task.size
        body = "".join(
            f'<image id="{k}" name="{name}" width="{width}" height="{height}">{"".join(task.images[name])}</image>'
            for k, name in enumerate(task.names)
        )
        return f"{head}{body}</annotations>"
    assert format_name == "CVAT for video 1.1"
    pieces = [
        (track.label, track.group, [_polygon(each) for each in shapes]) for track, shapes in tracks_of(task)
    ]
    pieces += [(mask.label, "0", _alone(mask, task, step)) for mask in task.masks]
    body = "".join(
        f'<track id="{k}" label={quoteattr(label)} source="file"'
        + (f' group_id="{group}"' if group != "0" else "")
        + f">{''.join(shapes)}</track>"
        for k, (label, group, shapes) in enumerate(pieces)
    )
    return f"{head}{body}</annotations>"


def tracks_of(task: Task) -> list[tuple[Track, list[Listed]]]:
    """The tracks of a task, as those of its jobs are joined, and what is listed of each."""
    jobs = jobs_of(task)
    end = task.frames[-1] + jobs.step
    return [(track, listed(track, end, jobs.step, task.deleted)) for track in merged(task.tracks, jobs)]


def _segments(task: Task) -> str:
    """Jobs count the frames of their task, not of the video."""
    place = {frame: k for k, frame in enumerate(task.frames)}
    return "".join(
        ["<segments>"]
        + [
            f"<segment><id>{k}</id><start>{place[job[0]]}</start><stop>{place[job[-1]]}</stop></segment>"
            for k, job in enumerate(jobs_of(task).frames, 1)
        ]
        + ["</segments>"]
    )


def _polygon(each: Listed) -> str:
    key = each.shape
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in key.points)
    return (
        f'<polygon frame="{each.frame}" keyframe="{each.is_key:d}" outside="{key.outside:d}" occluded="0"'
        f' points="{points}" z_order="{key.z_order}">{_said(DRAWN_BY_HAND | key.attributes)}</polygon>'
    )


def _alone(mask: Mask, task: Task, step: int) -> list[str]:
    """A shape without a track, as a track of two keyframes; of one where the next frame is the task's last."""
    said = " ".join(f"{name}={quoteattr(value)}" for name, value in mask.said.items())
    frames = [mask.frame]
    if mask.frame + step < task.frames[-1]:
        frames.append(mask.frame + step)
    return [
        f'<mask frame="{frame}" keyframe="1" outside="{frame > mask.frame:d}" occluded="0" {said}>'
        f"{_said(mask.attributes)}</mask>"
        for frame in frames
    ]


def _said(attributes: dict[str, str]) -> str:
    return "".join(
        f'<attribute name="{name}">{escape(value)}</attribute>' for name, value in attributes.items()
    )
