"""Identities that association loses on rendered drives with exact masks: python -m tests.benchmarks.bench_identities

Every object of a drive is found, pixel for pixel, wherever it shows; its pixels are followed as in labelling. A link is
two sights of an object with none between; it is lost where they get different tracks. Links are counted by the frames
between, and by the pixels of the smaller sight.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch

from annotator.detection.optical_flow import OpticalFlow
from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.masks import areas, encode_label_map, intersections
from annotator.options import TrackingOptions
from annotator.store import FrameTracks
from annotator.synthetic import Street
from annotator.tracking.association import associate_frames, step_seconds

EVERY_TRACK = TrackingOptions(min_track=1)
GAPS = {0: "neighbouring frames", 20: "1 to 20 frames out of sight", 10_000: "longer"}  # by the most frames
SIZES = (30, 100, 10**9)  # pixels below which a sight is of each size


class Sight(NamedTuple):
    """An object in a frame."""

    frame: int
    track: int
    pixels: int


def drive(
    seed: int, frames: int, size: tuple[int, int] = (384, 768)
) -> Iterator[tuple[Instances, list[int]]]:
    """What is to be found in every frame of a drive, and who it is."""
    street, flow = Street(seed, size), OpticalFlow()
    for index in range(frames):
        drawn = street.frame(index)
        rles = encode_label_map(drawn.label_map)
        frame = FrameRef(index, index, Fraction(1, int(street.fps)), size)
        classes = [drawn.classes[name] for name in rles]
        found = Instances.of(frame, list(rles.values()), classes, np.ones(len(rles)))
        yield flow.with_displacement(torch.from_numpy(drawn.image).permute(2, 0, 1), found), list(rles)


def tracks_of(found: Instances, links: FrameTracks) -> list[int]:
    """The track of every instance; of one that was made part of another, or reshaped, that of what was made of it."""
    tracks = list(links.track_ids)
    made = [{"size": list(found.frame.size), "counts": each.counts} for each in links.added]
    common = intersections(found.masks, made, areas(found.masks))
    for k in (k for k, track in enumerate(tracks) if not track and made and common[k].any()):
        tracks[k] = links.added[int(common[k].argmax())].track_id
    return tracks


def links_of(seed: int, frames: int) -> Iterator[tuple[int, int, bool]]:
    """Frames out of sight, pixels, and whether it was lost, of every link of a drive."""
    shown = list(drive(seed, frames))
    seen = [found for found, _ in shown]
    last: dict[int, Sight] = {}
    every = associate_frames(seen, step_seconds(each.frame for each in seen), EVERY_TRACK)
    for (found, names), links in zip(shown, every, strict=True):
        sights = zip(names, tracks_of(found, links), areas(found.masks).tolist(), strict=True)
        for name, track, pixels in sights:
            here = Sight(found.frame.index, track, pixels)
            if before := last.get(name):
                hidden = here.frame - before.frame - 1
                yield hidden, min(here.pixels, before.pixels), here.track != before.track
            last[name] = here


def main() -> None:
    """Print the links of all drives, and how many of them were lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[257, *range(301, 306), *range(1, 9)])
    parser.add_argument("--frames", type=int, default=100)
    chosen = parser.parse_args()
    counts, lost = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for seed in chosen.seeds:
        for hidden, pixels, is_lost in links_of(seed, chosen.frames):
            kind = (
                next(most for most in GAPS if hidden <= most),
                next(size for size in SIZES if pixels < size),
            )
            counts[kind] += 1
            lost[kind] += is_lost
    print(f"{len(chosen.seeds)} drives of {chosen.frames} frames: identities lost, of all links")
    for most, gap in GAPS.items():
        for low, high in zip((1, *SIZES), SIZES, strict=False):
            of_size = f"{low} pixels and more" if high == SIZES[-1] else f"{low} to {high - 1} pixels"
            print(f"  {gap}, {of_size}: {lost[most, high]} of {counts[most, high]}")


if __name__ == "__main__":
    main()
