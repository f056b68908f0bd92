"""What CVAT's import of a CVAT 1.1 file fails at or gets wrong; element by element, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from annotator.errors import FormatError
from annotator.filling import require_ring
from annotator.formats.class_map import IDENTITY_MAP
from annotator.formats.cvat.xml_stream import faults, parts, step_of
from annotator.formats.fields import whole
from annotator.formats.findings import ERROR, WARNING, DuplicateFinder, Finding, Said, refusal
from annotator.limits import require_frame_size, require_frames
from annotator.polygons import area

DRAWN = ("polygon", "mask")
KINDS = (*DRAWN, "box", "polyline", "points", "ellipse", "cuboid", "skeleton")
NEEDED = {  # attributes, beside those of what is drawn here
    "box": ("xtl", "ytl", "xbr", "ybr"),
    "polyline": ("points",),
    "points": ("points",),
    "ellipse": ("cx", "cy", "rx", "ry"),
}
BEYOND = 1.0  # pixels by which a point may lie outside of its frame


def check_cvat(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with a file, .xml or .zip, in either dialect."""
    content, place = _Content(), ""
    try:
        with faults(path):
            for part in parts(path):
                element = part.element
                holder = part.of if part.of is not None else element
                place = (
                    f", {holder.tag} {holder.get('id', '')}".rstrip() if holder.tag != "meta" else ", meta"
                )
                place += (
                    f", frame {element.get('frame')}" if part.of is not None and element.get("frame") else ""
                )
                for severity, message in content.of(part.of, element, part.is_open):
                    yield Finding(severity, f"{path}{place}", message)
            for severity, message in content.at_end():
                yield Finding(severity, str(path), message)
    except FormatError as error:
        yield Finding(ERROR, f"{path}{place}", str(error).removeprefix(f"{path}: "))


@dataclass
class _Track:
    """A track while its shapes come in."""

    label: str
    shapes: int = 0
    seen: int = 0
    keyframes: int = 0
    masks: int = 0
    last: int | None = None  # frame
    is_closed: bool = True
    uid: str | None = None


@dataclass
class _Content:
    """What is known of a file so far."""

    labels: dict[str, set[str]] = field(default_factory=dict)  # label: its attributes
    frames: range | None = None
    size: tuple[int, int] | None = None  # (H, W) of a video, or of the image at hand
    has_meta: bool = False
    expected: int | None = None  # images
    images: int = 0
    ids: DuplicateFinder = field(default_factory=DuplicateFinder)  # of images
    names: set[int] = field(default_factory=set)  # hashes of their names
    label: str = ""  # of the track at hand
    track: _Track = field(default_factory=lambda: _Track(""))

    def of(self, holder: Element | None, element: Element, is_open: bool) -> Iterator[Said]:
        """Check what comes next."""
        if holder is not None:
            yield from self._shape(holder, element)
        elif element.tag == "meta":
            yield from self._meta(element)
        elif element.tag == "image":
            yield from self._image(element) if is_open else ()
        elif element.tag == "track":
            yield from self._begin(element) if is_open else self._end()
        elif element.tag == "tag":
            yield ERROR, "a <tag> outside of an <image> ends the import"
        elif element.tag in KINDS:
            yield ERROR, "a shape outside of tracks and images ends the import"

    def at_end(self) -> Iterator[Said]:
        """What can be said when all has come."""
        if not self.has_meta:
            yield WARNING, "without <meta> nothing tells its frames and labels, and a project can't import it"
        if self.expected is not None and self.images > self.expected:
            yield WARNING, f"{self.images} images, and its <meta> says {self.expected}"

    # ---- meta

    def _meta(self, meta: Element) -> Iterator[Said]:
        self.has_meta = True
        for label in meta.iter("label"):
            names = {name.text or "" for name in label.iterfind("attributes/attribute/name")}
            name = label.findtext("name") or ""
            if name in self.labels:
                yield ERROR, f"label {name!r} is there twice"
            self.labels[name] = names
            if not IDENTITY_MAP.knows(name):
                yield WARNING, f"label {name!r} is no Cityscapes class; conversion needs `map`"
        if not self.labels:
            yield WARNING, "its <meta> names no label, so labels can't be checked"
        size = meta.find(".//original_size")
        if size is not None:
            self.size = _number(size, "height"), _number(size, "width")
            if any(self.size):  # a recording without frames has none
                yield from refusal(require_frame_size, *self.size)
        self.expected = _number(meta, ".//size")
        first, last = (_number(meta, f".//{name}") for name in ("start_frame", "stop_frame"))
        step = step_of(meta)
        if meta.find(".//stop_frame") is not None:
            self.frames = range(first, last + 1, step)
            yield from refusal(require_frames, self.frames.stop)
            if meta.findtext(".//mode") == "interpolation" and len(self.frames) < self.expected:
                yield ERROR, f"{self.expected} frames, and its <meta> numbers {len(self.frames)}"

    # ---- images

    def _image(self, image: Element) -> Iterator[Said]:
        self.images += 1
        name = image.get("name")
        number, height, width = (whole(key, image.attrib[key]) for key in ("id", "height", "width"))
        self.size = height, width
        yield from refusal(require_frame_size, *self.size)
        if number < 0:
            yield ERROR, "an image of a number below 0"
        if self.track.shapes:
            yield WARNING, "images behind tracks: an import takes one kind of file or the other"
        if not self.ids.is_new(number):
            yield ERROR, "the number of this image is there twice"
        if not name:
            yield ERROR, "an image without a name meets no frame"
        elif hash(name) in self.names:
            yield ERROR, f"image {name!r} is there twice"
        self.names.add(hash(name))

    # ---- tracks

    def _begin(self, track: Element) -> Iterator[Said]:
        self.track = _Track(track.get("label", ""))
        if self.images:
            yield WARNING, "a track behind images: an import takes one kind of file or the other"
        yield from self._check_label(track.get("label"))
        yield from _group(track)

    def _end(self) -> Iterator[Said]:
        track = self.track
        if not track.keyframes:
            yield ERROR, "a track without keyframes ends the import"
        elif not track.seen:
            yield WARNING, "an object that is never seen"
        if track.masks and track.shapes > 1:
            yield WARNING, "masks in a track become single shapes, without identity"
        is_last = (
            self.frames is None or track.last is None or track.last + self.frames.step not in self.frames
        )
        if not track.is_closed and not is_last and track.masks < track.shapes:
            yield WARNING, f"never outside: it goes on behind frame {track.last} to the end of the task"

    def _of_track(self, element: Element) -> Iterator[Said]:
        """Check the place of a shape in its track."""
        track, frame = self.track, whole("frame", element.attrib["frame"])
        if element.get("outside") not in ("0", "1", None):  # CVAT writes none for skeletons, and takes 0
            yield ERROR, f"outside is {element.get('outside')!r}, not 0 or 1"
        if element.get("keyframe") not in ("0", "1"):
            yield ERROR, f"keyframe is {element.get('keyframe')!r}, not 0 or 1"
        if not track.shapes and element.get("keyframe") == "0":
            yield WARNING, "not a keyframe: what is before the first one vanishes on import"
        if track.last is not None and frame <= track.last:
            yield ERROR, "the frame is there twice" if frame == track.last else "frames go backwards"
        if self.frames is not None and frame not in self.frames:
            is_off = self.frames.start <= frame < self.frames.stop
            yield ERROR, f"a frame {'off the step' if is_off else 'outside'} of the task ends the import"
        track.last, track.shapes = frame, track.shapes + 1
        track.is_closed = element.get("outside") == "1"
        track.seen += not track.is_closed
        track.keyframes += element.get("keyframe") == "1"
        track.masks += element.tag == "mask"

    # ---- shapes

    def _shape(self, holder: Element, element: Element) -> Iterator[Said]:
        if element.tag == "tag":
            if holder.tag != "image":
                yield ERROR, "a <tag> outside of an <image> ends the import"
            return
        if element.tag not in KINDS:
            yield ERROR, f"<{element.tag}> is no shape of CVAT"
            return
        if holder.tag == "track":
            yield from self._of_track(element)
            label = self.track.label
        else:
            label = element.get("label") or ""
            yield from self._check_label(element.get("label"))
            yield from _group(element)
        if not (element.get("z_order") or "0").lstrip("-").isdecimal():
            yield ERROR, f"z_order {element.get('z_order')!r} is no number"
        for name in NEEDED.get(element.tag, ()):
            if name not in element.attrib:
                yield ERROR, f"a {element.tag} without {name} ends the import"
        yield from self._attributes(element, label, holder.tag == "track")
        if element.tag == "polygon":
            yield from self._polygon(element)
        elif element.tag == "mask":
            yield from self._mask(element)

    def _check_label(self, label: str | None) -> Iterator[Said]:
        if not label:
            yield ERROR, "a shape without a label"
        elif self.labels and label not in self.labels:
            yield ERROR, f"label {label!r} is none of the task's: the import fails as a whole"

    def _attributes(self, element: Element, label: str, is_tracked: bool) -> Iterator[Said]:
        known = self.labels.get(label)
        values = {each.get("name") or "": each.text or "" for each in element.iter("attribute")}
        for name in values.keys() - (values.keys() if known is None else known):
            yield WARNING, f"attribute {name!r} is none of the label's, and is dropped"
        if known is not None and "uid" in known:
            if not values.get("uid") and self.track.shapes <= 1:  # once a track
                yield WARNING, "without a uid nothing tells its identity when it comes back"
            elif values.get("uid") and is_tracked and self.track.uid not in (None, values["uid"]):
                yield ERROR, f"uid {values['uid']!r} in a track of uid {self.track.uid!r}; a uid can't change"
            self.track.uid = values.get("uid")

        if (score := values.get("score")) and not _is_share(score):
            yield ERROR, f"score {score!r} is no number from 0 to 1, which conversion refuses"

    def _polygon(self, element: Element) -> Iterator[Said]:
        try:
            pairs = [tuple(map(float, pair.split(","))) for pair in element.attrib["points"].split(";")]
            ring = np.array(pairs, np.float64).reshape(-1, 2)
        except ValueError:
            yield ERROR, "points that are no pairs of numbers"
            return
        if not np.all(np.isfinite(ring)):
            yield ERROR, "points that are no numbers"
        elif len(ring) < 3:
            yield ERROR, f"a polygon with {len(ring)} points: the import fails as a whole"
        elif refused := [*refusal(require_ring, ring)]:
            yield from refused
        elif element.get("outside") != "1":
            if area(ring) == 0:
                yield WARNING, "a polygon without area"
            if self.size is not None:
                beyond = np.maximum(-ring, ring - np.array(self.size[::-1])).max()
                if beyond > BEYOND:
                    yield WARNING, f"a polygon that leaves its frame by {beyond:.0f} pixels"

    def _mask(self, element: Element) -> Iterator[Said]:
        try:
            left, top, width, height = (
                whole(key, element.attrib[key]) for key in ("left", "top", "width", "height")
            )
            runs = np.array(element.attrib["rle"].split(","), np.int64)
        except (ValueError, OverflowError):
            yield ERROR, "a mask that is no list of runs"
            return
        if np.any(runs < 0) or np.any(runs > width * height) or runs.sum() != width * height:
            yield ERROR, "the runs of a mask don't add up to its box"
        if self.size is not None and (
            min(left, top) < 0 or top + height > self.size[0] or left + width > self.size[1]
        ):
            yield ERROR, "a mask that leaves its frame"


def _number(element: Element, name: str) -> int:
    """The whole number in a child, 0 where there is none."""
    return whole(name.removeprefix(".//"), element.findtext(name) or 0)


def _group(element: Element) -> Iterator[Said]:
    if not (element.get("group_id") or "0").isdecimal():
        yield ERROR, f"group_id {element.get('group_id')!r} is no number"


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
