"""Labels drawn over their frame: masks in the colours of their tracks, and names that don't cover one another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from annotator.instances import Instances
from annotator.masks import areas, boxes_xywh, paint
from annotator.review.colours import Rgb, class_name, ink_on, track_colour
from annotator.review.names import NamePlacer, Place

Picture = npt.NDArray[np.uint8]  # (H, W, 3) RGB
LabelMap = npt.NDArray[np.int32]

OPACITY = 0.45  # of masks
OPACITY_FILLED = 0.2  # of those that were not seen, but filled in
PAPER = 255  # grey level where there is no picture
INK: Rgb = (255, 255, 255)  # of captions
SHADE: Rgb = (24, 24, 24)  # behind them


class Style(NamedTuple):
    """How an instance is drawn, if not as one of its track."""

    colour: Rgb
    texts: Sequence[str]  # what it is called, the longest first; none: it has no name


class FrameDrawer:
    """Draws the frames of a recording, one behind the other, as pictures of one size."""

    def __init__(self, size: tuple[int, int]) -> None:
        """For pictures of `size` (H, W)."""
        self.size = size
        self._font_size = min(26, max(10, round(max(size[0] / 36, size[1] / 68))))
        self._placer = NamePlacer(size)

    def draw(
        self,
        image: Picture | None,
        found: Instances,
        caption: str = "",
        styles: Sequence[Style] | None = None,
    ) -> Picture:
        """The picture of a frame: its image, of any size, or none where it isn't at hand, and what is labelled in it.

        Masks may overlap; the best scored are on top. `styles` are those of the N instances.
        """
        out = self._background(image, found.frame.size)
        label_map, top_left, scale = self._fitted(paint(found.masks, found.frame.size))
        styles = _styles(found) if styles is None else styles
        colours = [style.colour for style in styles]
        _blend(out, label_map, colours, np.where(found.interpolated, OPACITY_FILLED, OPACITY))
        taken = self._caption(out, caption)
        self._names(out, found, label_map, styles, (top_left, scale), taken)
        return out

    # ---- parts

    def _background(self, image: Picture | None, size: tuple[int, int]) -> Picture:
        if image is None:
            return np.full((*self.size, 3), PAPER, np.uint8)
        (top, left), scale = self._fit(size)
        shape = _scaled(size, scale)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = image if shape == image.shape[:2] else cv2.resize(image, shape[::-1], interpolation=way)
        if shape == self.size:
            return np.array(resized, np.uint8)
        out = np.zeros((*self.size, 3), np.uint8)
        out[top : top + shape[0], left : left + shape[1]] = resized
        return out

    def _fit(self, size: tuple[int, int]) -> tuple[tuple[int, int], float]:
        """Where a frame of `size` lies in the picture, top and left, and its scale."""
        scale = min(self.size[0] / size[0], self.size[1] / size[1])
        height, width = _scaled(size, scale)
        if self.size[0] - height <= 1 and self.size[1] - width <= 1:
            return (0, 0), scale  # but for a row or column that makes sides even
        return ((self.size[0] - height) // 2, (self.size[1] - width) // 2), scale

    def _fitted(self, label_map: LabelMap) -> tuple[LabelMap, tuple[int, int], float]:
        """A label map at the place of its frame in the picture."""
        size = (label_map.shape[0], label_map.shape[1])
        (top, left), scale = self._fit(size)
        height, width = _scaled(size, scale)
        fitted = np.zeros(self.size, np.int32)
        small = cv2.resize(label_map.astype(np.uint16), (width, height), interpolation=cv2.INTER_NEAREST)
        fitted[top : top + height, left : left + width] = small
        return fitted, (top, left), scale

    def _caption(self, out: Picture, caption: str) -> npt.NDArray[np.bool_]:
        """Write the caption in the lower left corner; the pixels (H, W) that it takes."""
        taken = np.zeros(self.size, np.bool_)
        if caption:
            height, width = write_caption(out, caption, self._font_size)
            taken[-height:, :width] = True
        return taken

    def _names(
        self,
        out: Picture,
        found: Instances,
        label_map: LabelMap,
        styles: Sequence[Style],
        fit: tuple[tuple[int, int], float],
        taken: npt.NDArray[np.bool_],
    ) -> None:
        """Write the names, those of large objects first."""
        if not len(found):
            return
        (top, left), scale = fit
        boxes = boxes_xywh(found.masks) * scale + [left, top, 0, 0]
        boxes[:, 2:] += boxes[:, :2]
        order = np.argsort(-areas(found.masks), kind="stable")
        order = order[np.isin(order + 1, np.unique(label_map))]  # those of which something shows
        colours = [style.colour for style in styles]
        rendered = [
            [_rendered(text, self._font_size, colours[k], ink_on(colours[k])) for text in styles[k].texts]
            for k in order
        ]
        sizes = [[(name.shape[0], name.shape[1]) for name in of_object] for of_object in rendered]
        placed = self._placer.place(
            boxes[order], sizes, found.track_ids[order].tolist(), (label_map > 0) | taken
        )
        for k, place in zip(order, placed, strict=True):
            if place is not None and place[1].is_away:
                _line(out, place[1], boxes[k], colours[k])
        for names, place in zip(rendered, placed, strict=True):
            if place is not None:
                left_, top_, right, bottom = place[1].box
                out[top_:bottom, left_:right] = names[place[0]]


def write_caption(out: Picture, caption: str, font_size: int) -> tuple[int, int]:
    """Write a line in the lower left corner of a picture; its size (h, w)."""
    name = _rendered(caption, font_size, SHADE, INK)
    height, width = min(name.shape[0], out.shape[0]), min(name.shape[1], out.shape[1])
    out[-height:, :width] = name[:height, :width]
    return height, width


def picture_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(H, W), both even, of pictures of frames of `size`: at most `longest`, and small ones doubled."""
    scale = min(1.0, longest / max(size))
    if 2 * max(size) <= longest:
        scale = 2.0
    height, width = _scaled(size, scale)
    return height + height % 2, width + width % 2


def jpeg(picture: Picture, quality: int = 85) -> bytes:
    """A picture as a JPEG file."""
    _, content = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return content.tobytes()


def png(picture: Picture) -> bytes:
    """A picture as a PNG file."""
    _, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return content.tobytes()


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _styles(found: Instances) -> list[Style]:
    tracks, classes = found.track_ids.tolist(), found.class_ids.tolist()
    return [
        Style(track_colour(track, class_id), _texts(found, k))
        for k, (track, class_id) in enumerate(zip(tracks, classes, strict=True))
    ]


def _texts(found: Instances, k: int) -> list[str]:
    """What instance `k` is called, the longest first."""
    name, track_id = class_name(int(found.class_ids[k])), int(found.track_ids[k])
    sure = "filled in" if found.interpolated[k] else f"{found.scores[k]:.2f}"
    if not track_id:
        return [f"{name}  {sure}", name]
    return [f"{name} {track_id}  {sure}", f"{name} {track_id}", str(track_id)]


def _blend(out: Picture, label_map: LabelMap, colours: list[Rgb], opacity: npt.NDArray[Any]) -> None:
    """Paint masks and their outlines, given their label map (H, W), k + 1 for mask k."""
    if not colours:
        return
    rows = np.flatnonzero(label_map.any(1))
    if not len(rows):
        return
    some = slice(max(0, rows[0] - 1), rows[-1] + 2)
    label_map, out = label_map[some], out[some]
    is_object = label_map > 0
    table = np.array([(0, 0, 0), *colours], np.float32)
    of_object = label_map[is_object]  # most pixels are of none
    alpha = np.append(np.float32(0), opacity.astype(np.float32))[of_object][:, None]
    out[is_object] = out[is_object] * (1 - alpha) + table[of_object] * alpha + 0.5
    is_edge = np.zeros(label_map.shape, np.bool_)
    down, right = label_map[1:] != label_map[:-1], label_map[:, 1:] != label_map[:, :-1]
    is_edge[1:] |= down
    is_edge[:-1] |= down
    is_edge[:, 1:] |= right
    is_edge[:, :-1] |= right
    is_edge &= is_object
    out[is_edge] = table[label_map[is_edge]]


def _line(out: Picture, place: Place, box: npt.NDArray[np.float64], colour: Rgb) -> None:
    """Lead from a name to its object."""
    left, top, right, bottom = place.box
    begin = np.clip([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], [left, top], [right, bottom])
    end = np.clip(begin, box[:2], box[2:])
    points = [(round(x), round(y)) for x, y in (begin.tolist(), end.tolist())]
    cv2.line(out, points[0], points[1], colour, 1, cv2.LINE_AA)


@lru_cache(maxsize=4096)
def _rendered(text: str, font_size: int, paper: Rgb, ink: Rgb) -> Picture:
    """A name (h, w, 3) on a ground of its colour."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(font_size)
    left, _, right, _ = font.getbbox(text)
    ascent, descent = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (font_size, 2)
    size = round(right - left) + 6, ascent + descent
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).text((3 - left, 0), text, fill=ink, font=font)
    return np.asarray(image)
