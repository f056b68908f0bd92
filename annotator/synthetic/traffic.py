"""Who is on the street: streams of slots that stand, drive, walk and ride."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from annotator.synthetic.ground import Layout

# What may stand in a slot, and how often; these may add up to less than 1.
Kinds = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Stream:
    """A row of slots along the street, or across it at a crossing."""

    kinds: Kinds
    x: float  # across the street; for a crossing stream, its s
    gap: float  # metres between slots
    speed: float = 0.0  # m/s, along s (or along x)
    jitter: float = 0.3  # of a slot along the row, in gaps
    wobble: float = 0.0  # of a slot across the row, metres
    turned: bool = False  # faces the other way than it moves (or than the ego car, if it stands)
    crosses: bool = False  # runs across the street
    keeps_clear: bool = False  # leaves crossings free
    with_ego: bool = False  # moves as the ego car does
    number: int = 0  # of the street's streams

    @property
    def driven(self) -> bool:
        """Does it hold cars and the like, which are seen from far away?"""
        return self.kinds[0][0] in ("car", "train")


class Slot(NamedTuple):
    """Who stands in a slot."""

    kind: str
    shift: float  # along the row, gaps
    aside: float  # across the row, metres
    turn: float  # radians
    figure: Any  # Solid, Person, (Bicycle, Person), parts of furniture, a picture's variant ...


def draw_layout(rng: np.random.Generator) -> Layout:
    """Draw the cross-section of a street."""
    parking = rng.random(2) < 0.7
    garden = rng.uniform(2, 7, 2) if rng.random() < 0.35 else np.zeros(2)
    half = rng.uniform(4.5, 7.5)
    return Layout(
        lane=rng.uniform(3.0, 3.7),
        left_lanes=int(rng.choice([0, 1, 2], p=[0.12, 0.66, 0.22])),
        right_lanes=int(rng.choice([0, 1], p=[0.75, 0.25])),
        parking_left=2.2 * parking[0],
        parking_right=2.2 * parking[1],
        pavement_left=rng.uniform(2.2, 6.0),
        pavement_right=rng.uniform(2.2, 6.0),
        garden_left=garden[0],
        garden_right=garden[1],
        crossing_start=rng.uniform(45, 80),
        crossing_gap=rng.uniform(70, 130),
        crossing_half=half,
        open_left=bool(rng.random() < 0.12),
        open_right=bool(rng.random() < 0.12),
    )


class Between(NamedTuple):
    """A number that each street draws."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Draw it, evenly."""
        return rng.uniform(self.low, self.high)


class OneOf(NamedTuple):
    """Two numbers of which each street chooses one."""

    one: float
    other: float

    def draw(self, rng: np.random.Generator) -> float:
        """Choose it."""
        return float(rng.choice([self.one, self.other]))


@dataclass(frozen=True)
class Row:
    """A row of things and people beside the road, on either side: what a street draws a stream from."""

    kinds: Kinds
    aside: Between | OneOf | float | None  # metres outwards; None: anywhere on the pavement
    gap: Between | float  # metres between slots
    from_wall: bool = False  # else from the kerb
    chance: float = 1.0  # that a side of a street has it
    beside: str = ""  # only beside a "park", "gardens" or "houses"
    is_busy: bool = False  # as often as pavements are busy
    speed: Between | None = None  # m/s, either way
    share: Between | float = 1.0  # of the first kind, times that often
    jitter: float = 0.3
    wobble: float = 0.0
    keeps_clear: bool = False

    def draw(self, rng: np.random.Generator, side: _Side, busy: float) -> Iterator[Stream]:
        """Draw its stream for a side of a street, if that has it."""
        if self.beside not in ("", side.plot) or (self.chance < 1 and rng.random() >= self.chance):
            return
        (kind, weight), *others = self.kinds
        weight *= busy if self.is_busy else _draw(self.share, rng)
        base = side.wall if self.from_wall else side.kerb
        aside = Between(0.5, side.pavement - 0.4) if self.aside is None else self.aside
        x, gap = base + side.sign * _draw(aside, rng), _draw(self.gap, rng)
        speed = float(rng.choice([-1, 1])) * self.speed.draw(rng) if self.speed else 0.0
        yield Stream(
            ((kind, weight), *others), x, gap, speed, self.jitter, self.wobble, keeps_clear=self.keeps_clear
        )


class _Side(NamedTuple):
    """One side of a street."""

    sign: int  # 1 on the right, -1 on the left
    kerb: float  # x, metres
    wall: float
    pavement: float  # width
    plot: str  # what lies beyond: "park", "gardens", "houses"


TRAFFIC = (("car", 0.8), ("truck", 0.07), ("bus", 0.05), ("biker", 0.05), ("train", 0.0))
TRAMS = (("train", 0.3), ("car", 0.6))
PARKED = (("car", 0.94), ("truck", 0.03), ("motorcycle", 0.03))

# Behind those who walk along the pavement; in the order in which streets draw them.
ROWS = (
    Row((("person", 0.6),), None, Between(4, 10), is_busy=True, jitter=0.9, wobble=0.6),
    Row(
        (("cyclist", 0.7),),
        OneOf(-0.8, 0.9),
        Between(16, 45),
        chance=0.75,
        speed=Between(2.5, 6),
        jitter=0.8,
        wobble=0.2,
    ),
    Row(
        (("bicycle", 0.5), ("motorcycle", 0.04)),
        Between(0.5, 1.0),
        Between(1.0, 4.0),
        chance=0.6,
        share=Between(0.2, 1),
        wobble=0.15,
        keeps_clear=True,
    ),
    Row((("tree", 0.85),), Between(0.7, 1.2), Between(7, 16), chance=0.65, keeps_clear=True),
    *(
        Row(
            (("tree", 0.55), ("bush", 0.4)),
            away,
            3.5 + 0.25 * away,
            from_wall=True,
            beside="park",
            wobble=0.1 * away + 0.4,
            keeps_clear=True,
        )
        for away in (1.0, 6.0, 14.0, 26.0)
    ),
    Row(
        (("tree", 0.3), ("bush", 0.55)),
        -1.2,
        Between(2.5, 6),
        from_wall=True,
        beside="gardens",
        wobble=1.0,
        keeps_clear=True,
    ),
    Row(
        (("tree", 0.5), ("bush", 0.3)),
        5.0,
        Between(9, 14),
        from_wall=True,
        beside="houses",
        wobble=3.0,
        keeps_clear=True,
    ),
    Row((("furniture", 0.75),), 0.55, Between(5, 13), jitter=0.8, wobble=0.15, keeps_clear=True),
    Row(
        (("furniture", 0.3),), -0.5, Between(5, 13), from_wall=True, jitter=0.8, wobble=0.15, keeps_clear=True
    ),
)


def draw_streams(rng: np.random.Generator, lay: Layout, drive: str, speed: float) -> list[Stream]:
    """Draw who is on the street: parked, driving, walking, riding, and standing about.

    Args:
        rng: which the street is drawn by.
        lay: the cross-section of the street.
        drive: how the ego car drives, "cruise", "follow", "stop" or "wait".
        speed: of the ego car, m/s.
    """
    busy = rng.uniform(0.2, 0.95)  # pavements
    dense = rng.uniform(0.25, 1.0)  # the road
    waits = drive in ("wait", "stop")
    streams = [
        *_parked(rng, lay),
        *_oncoming(rng, lay, dense, waits),
        *_beside_us(rng, lay, dense, waits, speed),
    ]
    if drive == "follow":
        streams.append(Stream(_times(TRAFFIC, 0.9), 0.0, rng.uniform(13, 24), with_ego=True, wobble=0.3))
    for side in _sides(lay):
        streams += _walkers(rng, side, busy)
        streams += [stream for row in ROWS for stream in row.draw(rng, side, busy)]
    if waits:  # the crossing before which the ego car stops is in use
        streams += _crossing(rng, lay, dense, busy)
    return [replace(stream, number=number) for number, stream in enumerate(streams)]


def _sides(lay: Layout) -> Iterator[_Side]:
    usual = "gardens" if lay.garden_left + lay.garden_right > 1 else "houses"
    right, left = ("park" if is_open else usual for is_open in (lay.open_right, lay.open_left))
    yield _Side(1, lay.kerb_right, lay.wall_right, lay.pavement_right, right)
    yield _Side(-1, lay.kerb_left, lay.wall_left, lay.pavement_left, left)


def _parked(rng: np.random.Generator, lay: Layout) -> Iterator[Stream]:
    """Cars at the kerbs, which face as traffic beside them does."""
    sides = (
        (lay.parking_right, lay.kerb_right - 1.1, False),
        (lay.parking_left, lay.kerb_left + 1.1, lay.left_lanes > 0),
    )
    for parking, x, turned in sides:
        if parking:
            kinds, gap = _times(PARKED, rng.uniform(0.4, 0.98)), rng.uniform(5.6, 7.2)
            yield Stream(kinds, x, gap, jitter=0.08, wobble=0.12, keeps_clear=True, turned=turned)


def _oncoming(rng: np.random.Generator, lay: Layout, dense: float, waits: bool) -> Iterator[Stream]:
    tram = rng.random() < 0.12
    for lane in range(1, lay.left_lanes + 1):
        move = 0.0 if waits and rng.random() < 0.6 else -rng.uniform(5, 11)
        gap = 36.0 if tram else rng.uniform(13.5, 20) if move else 13.5
        yield Stream(
            _times(TRAMS if tram else TRAFFIC, dense),
            -lane * lay.lane,
            gap,
            speed=move,
            turned=not move,
            jitter=0.05 if tram else 0.3,
            wobble=0.25,
            keeps_clear=not move,
        )


def _beside_us(
    rng: np.random.Generator, lay: Layout, dense: float, waits: bool, speed: float
) -> Iterator[Stream]:
    """The lanes that go the ego car's way."""
    for lane in range(1, lay.right_lanes + 1):
        move = 0.0 if waits else speed * rng.uniform(0.7, 1.3)
        kinds, gap = _times(TRAFFIC, dense), rng.uniform(14, 20)
        yield Stream(kinds, lane * lay.lane, gap, speed=move, wobble=0.25, keeps_clear=not move)


def _walkers(rng: np.random.Generator, side: _Side, busy: float) -> Iterator[Stream]:
    """Rows of people who walk along a pavement, one way each."""
    for aside in np.arange(0.8, side.pavement - 0.3, 1.1):
        speed = rng.choice([-1, 1]) * rng.uniform(0.9, 1.7)
        x, gap = side.kerb + side.sign * aside, rng.uniform(7, 22)
        yield Stream((("person", 0.75 * busy),), x, gap, speed=speed, jitter=0.8, wobble=0.15)


def _crossing(rng: np.random.Generator, lay: Layout, dense: float, busy: float) -> Iterator[Stream]:
    middle, half = lay.crossing_start, lay.crossing_half
    for way in (-1, 1):
        x, gap = middle + way * 0.5 * half, rng.uniform(13.5, 22)
        speed = way * rng.uniform(4, 8)
        yield Stream(_times(TRAFFIC, dense), x, gap, speed=speed, crosses=True, wobble=0.3)
    for way in (-1, 1):
        kinds = (("person", 0.6 * busy), ("cyclist", 0.04))
        x, gap = middle - half - 2.2 + way * 0.7, rng.uniform(2.5, 7)
        speed = way * rng.uniform(1.0, 1.6)
        yield Stream(kinds, x, gap, speed=speed, crosses=True, jitter=0.8, wobble=0.4)
    x, gap = middle + half + 2.2, rng.uniform(2.5, 7)
    speed = rng.uniform(1.0, 1.6)
    yield Stream((("person", 0.6 * busy),), x, gap, speed=speed, crosses=True, jitter=0.8, wobble=0.8)


def _draw(value: Between | OneOf | float, rng: np.random.Generator) -> float:
    """Draw a number, if it isn't given."""
    return value if isinstance(value, int | float) else value.draw(rng)


def _times(kinds: Kinds, part: float) -> Kinds:
    return tuple((kind, part * weight) for kind, weight in kinds)
