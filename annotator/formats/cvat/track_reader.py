"""Tracks of CVAT XML while they are read: between two keyframes, and behind the last, is what CVAT shows there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from annotator.errors import LabelFileError
from annotator.formats.cvat.elements import Shape, attribute, shape_of
from annotator.formats.cvat.interpolation import interpolate
from annotator.formats.cvat.object_ids import ObjectMerger, Piece, key_of
from annotator.formats.cvat.shape_buffer import BLOCK, ShapeBuffer, ShapeRow
from annotator.formats.cvat.task_frames import TaskFrames
from annotator.formats.fields import whole
from annotator.limits import LONGEST_BETWEEN, MOST_FRAMES, MOST_INTERPOLATED


@dataclass
class Track:
    """A track of a video while its shapes come in."""

    label: str
    group: str
    number: int  # of the element in the file
    piece: Piece | None = None  # of an object, once it has a shape
    frame: int = -1  # of the shape before
    last: Shape | None = None  # the shape before, if it is seen


@dataclass
class TrackReader:
    """Puts the shapes of tracks into a buffer, with those in between."""

    shapes: ShapeBuffer
    task: TaskFrames
    objects: ObjectMerger
    deleted: set[int] = field(default_factory=set)  # frames that were deleted from the task
    _made: int = 0  # bytes of shapes between keyframes

    def add(self, track: Track, element: Element, class_id: int) -> None:
        """Read the next shape of a track. Raises ValueError, KeyError and the like for what is wrong with it."""
        frame, is_seen = whole("frame", element.attrib["frame"]), element.get("outside", "0") == "0"
        if not 0 <= frame < MOST_FRAMES:
            raise ValueError("no frame has this number")
        if frame <= track.frame:
            raise ValueError(f"frame {frame} comes after frame {track.frame}")
        track.frame = frame
        if track.piece is None:
            uid = attribute(element, "uid")
            key = key_of(track.group, uid, track.label, track.number)
            track.piece = self.objects.begun(key, uid, is_mask=element.tag == "mask")
        shape = shape_of(element, frame, (track.piece.object_ids[0], 0), class_id, self.task.size)
        if track.last:
            for drawn in self._between(track.last, shape):
                self._put(drawn, track.piece)
        if is_seen:
            self._put(shape.drawn, track.piece)
        track.last = shape if is_seen else None

    def _put(self, drawn: ShapeRow, piece: Piece) -> None:
        piece.seen(drawn.frame, drawn.frame)
        if drawn.frame not in self.task.before:
            self.shapes.add(drawn)

    def _between(self, before: Shape, after: Shape) -> Iterator[ShapeRow]:
        """What CVAT shows between two keyframes, of which the first is seen. A mask stays as it is.

        Where an export skips frames behind others that it lists, they were deleted from the task.
        """
        first, last = before.drawn.frame, after.drawn.frame
        missing = range(first + self.task.every.step, last, self.task.every.step)
        self._require_few(missing, max(len(before.drawn.shape), len(after.drawn.shape)))
        if self.task.is_export or not (before.is_keyframe and after.is_keyframe):
            self.deleted.update(frame for frame in missing if frame in self.task.every)
            return
        if before.ring is None or after.ring is None:
            yield from (before.drawn._replace(frame=frame) for frame in missing)
            return
        for begin in range(0, len(missing), BLOCK):
            block = missing[begin : begin + BLOCK]
            rings = interpolate(
                before.ring, after.ring, [(frame - first) / (last - first) for frame in block]
            )
            for frame, ring in zip(block, rings, strict=True):
                yield before.drawn._replace(frame=frame, shape=ring.astype("<f8").tobytes())

    def _require_few(self, made: range, size: int) -> None:
        """Frames in which a shape of `size` bytes is made up are few enough. Raises ValueError, or FormatError."""
        if len(made) > LONGEST_BETWEEN:
            raise ValueError(
                f"{len(made):,} frames behind its keyframe {made.start - made.step} without another; up to"
                f" {LONGEST_BETWEEN:,} are filled in: set keyframes between, or outside where it is not seen"
            )
        self._made += len(made) * size
        if self._made > MOST_INTERPOLATED:
            raise LabelFileError(
                f"over {MOST_INTERPOLATED >> 30} GB of shapes between keyframes; export it from CVAT in parts"
            )

    def end(self, track: Track) -> None:
        """A track has all its shapes. One that is never outside goes on to the end of the task, but for masks."""
        last = track.last
        if (
            track.piece is None
            or last is None
            or not last.is_keyframe
            or last.ring is None
            or self.task.is_export
        ):
            return
        following = range(track.frame + self.task.own.step, self.task.own.stop, self.task.own.step)
        self._require_few(following, len(last.drawn.shape))
        for frame in following:
            self._put(last.drawn._replace(frame=frame), track.piece)
