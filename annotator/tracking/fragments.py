"""Fragments of one object in a frame, as behind a pole: a track takes those that make it whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from annotator.tracking.observations import Floats, Observed, areas, box_overlap
from annotator.tracking.tracklets import Instance, Tracklet, joined

AROUND = 8  # observations on each side that say how large an object is
NEAR = 2  # of them that say where it should be
SMALL = 0.9  # share of the usual area of a box from which on an observation may be a fragment
MISSED = 4  # frames in a row that may show nothing but fragments
STRAY = 8  # observations of a track that may be made of fragments
INSIDE = 0.7  # share of a fragment's box in the place where the object should be
WHOLE = 0.6  # IoU of the box of all with that place
BETTER = 0.1  # by so much more than that without one of them


def joined_by_fragments(
    tracklets: Sequence[Tracklet], observed: Sequence[Observed], ticks: Floats
) -> list[Tracklet]:
    """The tracklets, where one ends and another begins with fragments of the same frames made one."""
    # Both have to show a frame, and NEAR more each.
    long = {number: track for number, track in enumerate(tracklets) if len(track) > NEAR}
    category = {number: _category(track, observed) for number, track in long.items()}
    beginning: defaultdict[tuple[int, int], list[int]] = defaultdict(list)  # by frame and category
    for number, track in long.items():
        beginning[track[0][0], category[number]].append(number)
    following: dict[int, int] = {}
    taken: set[int] = set()
    for a, track in long.items():
        end = track[-1][0]
        firsts = range(end - MISSED + 1, end + 1)
        later = [b for first in firsts for b in beginning[first, category[a]] if b != a and b not in taken]
        fits = {b: _fit(track, long[b], observed, ticks) for b in later}
        best = max(fits, key=lambda b: fits[b], default=a)
        if fits.get(best, 0.0) > WHOLE:
            following[a] = best
            taken.add(best)
    return joined(tracklets, following)


def _category(track: Tracklet, observed: Sequence[Observed]) -> int:
    frame, place = track[0]
    return int(observed[frame].categories[place])


def _fit(a: Tracklet, b: Tracklet, observed: Sequence[Observed], ticks: Floats) -> float:
    """How well the two are one object in the frames in which the first ends and the second begins: the least IoU."""
    one, other = dict(a[-MISSED:]), dict(b[:MISSED])
    if not one.keys() & other.keys():
        return 0.0
    before = [seen for seen in a if seen[0] < b[0][0]][-NEAR:]
    behind = [seen for seen in b if seen[0] > a[-1][0]][:NEAR]
    if len(before) < NEAR or len(behind) < NEAR:
        return 0.0
    whole = np.array([observed[frame].edges[place] for frame, place in before + behind])
    times = ticks[[frame for frame, _ in before + behind]]
    fits = []
    for frame in sorted(one.keys() & other.keys()):
        seen = observed[frame].edges[[one[frame], other[frame]]]
        gain, chosen = _best(seen[:0], seen, _line(times - ticks[frame], whole))
        fits.append(gain if len(chosen) == len(seen) else 0.0)
    return min(fits)


def with_fragments(tracks: Sequence[Tracklet], observed: Sequence[Observed], ticks: Floats) -> list[Tracklet]:
    """The tracks, in which a frame may come more than once now: with the parts of one object."""
    solid = [list(track) for track in tracks if len(track) > STRAY]
    in_solid = {seen for track in solid for seen in track}
    offers = [
        (gain, number, parts)
        for number, track in enumerate(solid)
        for gain, parts in _offers(track, observed, ticks, in_solid)
    ]
    taken: set[Instance] = set()
    for _, number, parts in sorted(offers, reverse=True):
        if taken.isdisjoint(parts):
            solid[number] += parts
            taken.update(parts)
    rest = [[seen for seen in track if seen not in taken] for track in tracks if len(track) <= STRAY]
    return sorted([sorted(track) for track in solid] + [track for track in rest if track])


def _offers(
    track: Tracklet, observed: Sequence[Observed], ticks: Floats, in_solid: set[Instance]
) -> Iterator[tuple[float, tuple[Instance, ...]]]:
    """What fragments would do for a track where it is small, or misses a few frames."""
    frames = np.array([frame for frame, _ in track])
    edges = np.array([observed[frame].edges[place] for frame, place in track])
    category = observed[frames[0]].categories[track[0][1]]
    is_small = _is_small(areas(edges))
    short = np.flatnonzero((np.diff(frames) > 1) & (np.diff(frames) <= MISSED + 1))
    missed = [frame for k in short.tolist() for frame in range(frames[k] + 1, frames[k + 1])]
    for frame in sorted(missed + frames[is_small].tolist()):
        seen = observed[frame]
        loose = [
            k for k in np.flatnonzero(seen.categories == category).tolist() if (frame, k) not in in_solid
        ]
        low, high = np.searchsorted(frames, [frame, frame + 1])
        before = [k for k in range(max(0, low - AROUND), low) if not is_small[k]]
        behind = [k for k in range(high, min(len(track), high + AROUND)) if not is_small[k]]
        if loose and before and behind and high - low <= 1:
            near = before[-NEAR:] + behind[:NEAR]
            place = _line(ticks[frames[near]] - ticks[frame], edges[near])
            gain, chosen = _best(edges[low:high], seen.edges[loose], place)
            if chosen:
                yield gain, tuple((frame, loose[k]) for k in chosen)


def _is_small(size: Floats) -> npt.NDArray[np.bool_]:
    """(N,) which of the areas along a track are small beside those around them."""
    around = np.arange(len(size))[:, None] + np.delete(np.arange(-AROUND, AROUND + 1), AROUND)
    is_there = (around >= 0) & (around < len(size))
    near = np.where(is_there, size[around.clip(0, len(size) - 1)], np.nan)
    return size < SMALL * np.nanmedian(near, 1)


def _best(own: Floats, parts: Floats, place: Floats) -> tuple[float, list[int]]:
    """Which (K, 4) parts bring the box of all near to a place (4,), with what is there (0 or 1, 4); and by how much."""
    inside = np.hstack([np.maximum(parts[:, :2], place[:2]), np.minimum(parts[:, 2:], place[2:])])
    share = np.maximum(inside[:, 2:] - inside[:, :2], 0).prod(1) / areas(parts)
    free = np.flatnonzero(share > INSIDE).tolist()
    begun = fit = float(box_overlap(own, place[None])[0]) if len(own) else 0.0
    box, chosen = own, list[int]()
    while free:
        both = [np.vstack([box, parts[k, None]]) for k in free]
        boxes = np.array([np.hstack([each[:, :2].min(0), each[:, 2:].max(0)]) for each in both])
        fits = box_overlap(boxes, np.broadcast_to(place, boxes.shape))
        k = int(fits.argmax())
        if fits[k] < fit + BETTER:
            break
        fit, box = float(fits[k]), boxes[k, None]
        chosen.append(free.pop(k))
    return (fit - begun, chosen) if fit > WHOLE else (0.0, [])


def _line(times: Floats, edges: Floats) -> Floats:
    """(4,) edges at time 0, by the straight line through (K, 4) at (K,) times that errs least."""
    if len(times) < 3 or np.ptp(times) == 0:
        return np.asarray(edges.mean(0))
    return np.asarray(np.polynomial.polynomial.polyfit(times, edges, 1)[0])
