"""CVAT XML 1.1: tracks of polygons for a video, polygons by image for a folder; and the task's label file.

A CVAT polygon is one ring. So the parts of an object are tracks (or polygons) of their own, held together by
`group_id` and the attribute `uid`, holes are filled, and what lies in a filled hole is drawn above it
(`z_order`). Every labelled frame is a keyframe; a track is closed one step after each stretch in which it
is seen. The uid of a tracked object is its track id. The reader is in `cvat_reader`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

import orjson
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError

from annotator.formats.cvat_reader import elements, names, read, read_truth, ring_of
from annotator.formats.cvat_shapes import Shape, Spool, follow_parts, shapes_of
from annotator.formats.interface import LabelReader, Recorded, Written
from annotator.formats.survey import HIDDEN, Survey, text
from annotator.formats.whole import insist, whole_file
from annotator.labels import BY_ID, Label

__all__ = ["label_specification", "names", "read", "read_truth", "write"]

FILE = "cvat.xml"
LABELS_FILE = "cvat_labels.json"
UNTRACKED = 1 << 40  # objects without a track are numbered from here, behind all track ids


def write(reader: LabelReader, source: Recorded, folder: Path) -> Written:
    """Write DIR/cvat.xml and DIR/cvat_labels.json."""
    goal, labels_goal, losses = folder / FILE, folder / LABELS_FILE, Counter[str]()
    survey = Survey.of(reader)
    with whole_file(goal) as temporary:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
            file.write(_meta(survey, source))
            if source.is_video:
                instances, shapes = _write_tracks(file, goal, reader, survey, losses)
            else:
                instances, shapes = _write_images(file, reader, survey, losses)
            file.write("</annotations>\n")
        _check(temporary, survey, source.is_video, shapes)
        with whole_file(labels_goal) as labels:
            labels.write_bytes(label_specification(survey.labels))
    return Written((goal, labels_goal), survey.frame_count, instances, +losses)


def label_specification(labels: Iterable[Label]) -> bytes:
    """The label file of a CVAT task ("Raw"): JSON with the attributes that the shapes carry."""

    def attribute(name: str, mutable: bool) -> dict[str, Any]:
        return {
            "name": name,
            "mutable": mutable,
            "input_type": "text",
            "default_value": "",
            "values": [""],
        }

    specification = [
        {
            "name": label.name,
            "color": _color(label),
            "type": "any",
            "attributes": [attribute("uid", mutable=False), attribute("score", mutable=True)],
        }
        for label in labels
    ]
    return orjson.dumps(specification, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


# ---- writing


def _write_images(
    file: IO[str], reader: LabelReader, survey: Survey, losses: Counter[str]
) -> tuple[int, int]:
    """Write the images dialect; the number of instances and of shapes."""
    instances = shapes = 0
    for found in reader.instances():
        shown, ref = survey.disjoint(found), found.frame
        losses[HIDDEN] += len(found) - len(shown)
        name = quoteattr(text(ref.name))
        file.write(f'<image id="{ref.index}" name={name} width="{ref.size[1]}" height="{ref.size[0]}">\n')
        for k, parts in enumerate(shapes_of(shown, losses)):
            label = quoteattr(BY_ID[int(shown.class_ids[k])].name)
            group_id = f' group_id="{k + 1}"' if len(parts) > 1 else ""
            for shape in parts:
                file.write(_polygon(shape, f'label={label} source="auto"{group_id} occluded="0"'))
            shapes += len(parts)
        file.write("</image>\n")
        instances += len(shown)
    return instances, shapes


def _write_tracks(
    file: IO[str], goal: Path, reader: LabelReader, survey: Survey, losses: Counter[str]
) -> tuple[int, int]:
    """Write the video dialect; the number of instances and of shapes."""
    instances = shapes = tracks = groups = untracked = 0
    with Spool.beside(goal) as spool:
        for found in reader.instances():
            shown = survey.disjoint(found)
            losses[HIDDEN] += len(found) - len(shown)
            instances += len(shown)
            for k, parts in enumerate(shapes_of(shown, losses)):
                track_id = int(shown.track_ids[k])
                untracked += not track_id
                spool.add(track_id or UNTRACKED + untracked, int(shown.class_ids[k]), parts)
        for class_id, frames in spool.objects():
            chains = follow_parts(frames)
            groups += len(chains) > 1
            group_id = f' group_id="{groups}"' if len(chains) > 1 else ""
            for chain in chains:
                label = quoteattr(BY_ID[class_id].name)
                file.write(f'<track id="{tracks}" label={label} source="auto"{group_id}>\n')
                for shape, outside in _with_ends(chain, survey):
                    attributes = f'frame="{shape.frame}" keyframe="1" outside="{outside:d}" occluded="0"'
                    file.write(_polygon(shape, attributes))
                    shapes += 1
                file.write("</track>\n")
                tracks += 1
    return instances, shapes


def _with_ends(chain: list[Shape], survey: Survey) -> Iterator[tuple[Shape, bool]]:
    """The shapes of a track, with a closing one (True) a step behind each stretch, if that frame exists."""
    for shape, following in zip(chain, [*chain[1:], None], strict=True):
        yield shape, False
        behind = shape.frame + survey.step
        if behind <= survey.last and (following is None or following.frame > behind):
            yield shape._replace(frame=behind), True


def _polygon(shape: Shape, attributes: str) -> str:
    points = ";".join(f"{_number(x)},{_number(y)}" for x, y in shape.ring.tolist())
    return (
        f'<polygon {attributes} points="{points}" z_order="{shape.z_order}">'
        f'<attribute name="uid">{shape.uid}</attribute>'
        f'<attribute name="score">{shape.score}</attribute></polygon>\n'
    )


def _number(x: float) -> str:
    """A coordinate as CVAT keeps it, with two decimals, without trailing zeros."""
    return f"{x:.2f}".rstrip("0").rstrip(".")


def _meta(survey: Survey, source: Recorded) -> str:
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>{mutable}</mutable><input_type>text</input_type>"
        "<default_value></default_value><values></values></attribute>"
        for name, mutable in (("uid", False), ("score", True))
    )
    labels = "".join(
        f"<label><name>{label.name}</name><color>{_color(label)}</color><type>any</type>"
        f"<attributes>{attributes}</attributes></label>\n"
        for label in survey.labels
    )
    height, width = survey.size
    return (
        f"<meta><task><name>{escape(text(source.name))}</name><size>{survey.frame_count}</size>"
        f"<mode>{'interpolation' if source.is_video else 'annotation'}</mode><overlap>0</overlap>\n"
        f"<start_frame>{survey.first}</start_frame><stop_frame>{survey.last}</stop_frame>"
        f"<frame_filter>step={survey.step}</frame_filter>\n<labels>\n{labels}</labels>\n"
        f"<original_size><width>{width}</width><height>{height}</height></original_size>"
        f"<source>{escape(text(source.path.name))}</source></task></meta>\n"
    )


def _color(label: Label) -> str:
    return "#{:02x}{:02x}{:02x}".format(*label.color)


# ---- checking


def _check(path: Path, survey: Survey, is_video: bool, shapes: int) -> None:
    """Read the file again, a track at a time, for what CVAT's import would fail at or get wrong."""
    names = {label.name for label in survey.labels}
    images = seen = 0
    try:
        for element in elements(path, "image", "track"):
            what = f"{element.tag} {element.attrib['id']}"
            polygon_list = list(element.iter("polygon"))
            seen += len(polygon_list)
            if element.tag == "image":
                images += 1
                for polygon in polygon_list:
                    insist(polygon.attrib["label"] in names, path, f"label in {what}")
                    _check_shape(polygon, path, what)
                continue
            insist(element.attrib["label"] in names, path, f"label of {what}")
            insist(len(polygon_list) > 0, path, f"{what} is empty")
            last = survey.first - 1
            for polygon in polygon_list:
                _check_shape(polygon, path, what)
                frame = int(polygon.attrib["frame"])
                insist(last < frame <= survey.last, path, f"order of frames in {what}")
                insist((frame - survey.first) % survey.step == 0, path, f"frame off the step in {what}")
                insist(polygon.attrib["keyframe"] == "1", path, f"no keyframe in {what}")
                last = frame
            is_closed = polygon_list[-1].attrib["outside"] == "1"
            insist(is_closed or last + survey.step > survey.last, path, f"{what} has no end")
        insist(seen == shapes, path, f"{seen} of {shapes} shapes")
        insist(is_video or images == survey.frame_count, path, f"{images} of {survey.frame_count} images")
    except (ParseError, DefusedXmlException, KeyError, TypeError, ValueError) as error:
        insist(False, path, f"{type(error).__name__}: {error}")


def _check_shape(polygon: Element, path: Path, what: str) -> None:
    ring_of(polygon)  # raises ValueError
    values = {attribute.attrib["name"]: attribute.text or "" for attribute in polygon.iter("attribute")}
    insist(bool(values["uid"]), path, f"uid in {what}")
    float(values["score"])
