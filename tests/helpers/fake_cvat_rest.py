"""Annotations of the small CVAT server as its REST API has them: JSON, with labels and attributes by number.

They go by way of the server's own files, so that an edit here is one like any other.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
import zipfile
from typing import Any
from xml.sax.saxutils import quoteattr

Label = dict[str, Any]


def numbered(labels: list[Label]) -> list[Label]:
    """Labels as the API lists them; an attribute's number is told from those of other labels."""
    return [
        {
            "id": k,
            "name": label["name"],
            "type": label.get("type", "any"),
            "sublabels": [],
            "attributes": [
                {"id": 100 * k + j, "values": [""]} | attribute
                for j, attribute in enumerate(label["attributes"])
            ],
        }
        for k, label in enumerate(labels, 1)
    ]


def as_json(exported: str, labels: list[Label], frames: list[int]) -> dict[str, Any]:
    """What an export says, as the API answers; frames count from the first of the task."""
    root = ET.fromstring(exported)
    known = {label["name"]: label for label in numbered(labels)}
    tracks, shapes = [], []
    for element in root.iterfind("track"):
        keys = [each for each in element if each.get("keyframe") == "1"] or list(element)[:1]
        label = known[element.attrib["label"]]
        of_track, *_ = [_attributes(key, label, False) for key in keys]
        about = {"id": len(tracks) + 1, "label_id": label["id"], "group": int(element.get("group_id", 0))}
        about |= {"source": "file", "attributes": of_track, "elements": []}
        drawn = [
            _shape(key, frames.index(int(key.attrib["frame"])))
            | {"attributes": _attributes(key, label, True)}
            for key in keys
        ]
        tracks.append(about | {"frame": drawn[0]["frame"], "shapes": drawn})
    for frame, image in enumerate(root.iterfind("image")):
        for element in image:
            label = known[element.attrib["label"]]
            about = {"id": len(shapes) + 1, "label_id": label["id"], "group": int(element.get("group_id", 0))}
            about |= {"source": "file", "attributes": _attributes(element, label), "elements": []}
            shapes.append(_shape(element, frame) | about)
    return {"version": 0, "tags": [], "shapes": shapes, "tracks": tracks}


def as_xml(content: dict[str, Any], labels: list[Label], frames: list[int], names: list[str]) -> bytes:
    """What is sent to the API, as a file that the server takes."""
    known = {label["id"]: label for label in numbered(labels)}
    pieces = ["<annotations>"]
    for track in content.get("tracks") or ():
        label = known[track["label_id"]]
        pieces.append(f'<track label={quoteattr(label["name"])} group_id="{track.get("group") or 0}">')
        for shape in track["shapes"]:
            place = (
                f' frame="{frames[shape["frame"]]}" keyframe="1" outside="{shape.get("outside", False):d}"'
            )
            pieces.append(
                _element(shape, label, place, [*track.get("attributes", ()), *shape.get("attributes", ())])
            )
        pieces.append("</track>")
    for k, name in enumerate(names):
        pieces.append(f"<image name={quoteattr(name)}>")
        for shape in content.get("shapes") or ():
            if shape["frame"] == k:
                label = known[shape["label_id"]]
                place = f' label={quoteattr(label["name"])} group_id="{shape.get("group") or 0}"'
                pieces.append(_element(shape, label, place, shape.get("attributes", ())))
        pieces.append("</image>")
    return "".join([*pieces, "</annotations>"]).encode()


def chunk(names: list[str], contents: list[bytes]) -> bytes:
    """A chunk of a task of images."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for k, (name, image) in enumerate(zip(names, contents, strict=True)):
            archive.writestr(f"{k:06d}.{name.rpartition('.')[2]}", image)
    return content.getvalue()


def _attributes(element: ET.Element, label: Label, mutable: bool | None = None) -> list[dict[str, Any]]:
    numbers = {a["name"]: a["id"] for a in label["attributes"] if mutable in (None, a.get("mutable"))}
    return [
        {"spec_id": numbers[each.attrib["name"]], "value": each.text or ""}
        for each in element.iterfind("attribute")
        if each.attrib["name"] in numbers
    ]


def _shape(element: ET.Element, frame: int) -> dict[str, Any]:
    about = {"type": element.tag, "frame": frame, "outside": element.get("outside") == "1", "rotation": 0.0}
    about |= {"occluded": element.get("occluded") == "1", "z_order": int(element.get("z_order", 0))}
    if element.tag == "mask":
        left, top, width, height = (int(element.attrib[name]) for name in ("left", "top", "width", "height"))
        runs = [int(run) for run in element.attrib["rle"].split(",")]
        return about | {"points": [*runs, left, top, left + width - 1, top + height - 1]}
    return about | {
        "points": [float(value) for value in element.attrib["points"].replace(";", ",").split(",")]
    }


def _element(shape: dict[str, Any], label: Label, place: str, given: Any) -> str:
    names = {attribute["id"]: attribute["name"] for attribute in label["attributes"]}
    attributes = "".join(
        f'<attribute name="{names[each["spec_id"]]}">{each["value"]}</attribute>' for each in given
    )
    points = shape["points"]
    if shape["type"] == "mask":
        *runs, left, top, right, bottom = map(int, points)
        drawn = f' rle="{", ".join(map(str, runs))}" left="{left}" top="{top}"'
        drawn += f' width="{right - left + 1}" height="{bottom - top + 1}"'
    else:
        drawn = (
            ' points="' + ";".join(f"{x},{y}" for x, y in zip(points[::2], points[1::2], strict=True)) + '"'
        )
    about = f' occluded="{shape.get("occluded", False):d}" z_order="{shape.get("z_order", 0)}"'
    return f"<{shape['type']}{place}{drawn}{about}>{attributes}</{shape['type']}>"
