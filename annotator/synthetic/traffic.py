"""Who is on the street: streams of slots that stand, drive, walk and ride."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from annotator.synthetic.ground import Layout


@dataclass(frozen=True)
class Stream:
    """A row of slots along the street, or across it at a crossing."""

    number: int
    kinds: tuple[
        tuple[str, float], ...
    ]  # what may stand in a slot, and how often; they may add up to less than 1
    x: float  # across the street; for a crossing stream, its s
    gap: float  # metres between slots
    speed: float = 0.0  # m/s, along s (or along x)
    jitter: float = 0.3  # of a slot along the row, in gaps
    wobble: float = 0.0  # of a slot across the row, metres
    turned: bool = False  # faces the other way than it moves (or than the ego car, if it stands)
    crosses: bool = False  # runs across the street
    keeps_clear: bool = False  # leaves crossings free
    with_ego: bool = False  # moves as the ego car does

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
    """The cross-section of a street."""
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


TRAFFIC = (("car", 0.8), ("truck", 0.07), ("bus", 0.05), ("biker", 0.05), ("train", 0.0))


def draw_streams(rng: np.random.Generator, lay: Layout, drive: str, speed: float) -> list[Stream]:
    """Who is on the street: parked, driving, walking, riding, and standing about."""
    streams: list[Stream] = []

    def add(kinds: tuple[tuple[str, float], ...], x: float, gap: float, **more: Any) -> None:
        streams.append(Stream(len(streams), kinds, x, gap, **more))

    def share(kinds: tuple[tuple[str, float], ...], part: float) -> tuple[tuple[str, float], ...]:
        return tuple((kind, part * weight) for kind, weight in kinds)

    busy = rng.uniform(0.2, 0.95)  # pavements
    dense = rng.uniform(0.25, 1.0)  # the road
    waits = drive in ("wait", "stop")
    parked = (("car", 0.94), ("truck", 0.03), ("motorcycle", 0.03))
    if lay.parking_right:
        add(
            share(parked, rng.uniform(0.4, 0.98)),
            lay.kerb_right - 1.1,
            rng.uniform(5.6, 7.2),
            jitter=0.08,
            wobble=0.12,
            keeps_clear=True,
        )
    if lay.parking_left:
        add(
            share(parked, rng.uniform(0.4, 0.98)),
            lay.kerb_left + 1.1,
            rng.uniform(5.6, 7.2),
            jitter=0.08,
            wobble=0.12,
            keeps_clear=True,
            turned=lay.left_lanes > 0,
        )

    tram = rng.random() < 0.12
    kinds = (("train", 0.3), ("car", 0.6)) if tram else TRAFFIC
    for lane in range(1, lay.left_lanes + 1):
        move = 0.0 if waits and rng.random() < 0.6 else -rng.uniform(5, 11)
        gap = 36.0 if tram else rng.uniform(13.5, 20) if move else 13.5
        add(
            share(kinds, dense),
            -lane * lay.lane,
            gap,
            speed=move,
            turned=not move,
            jitter=0.3 if not tram else 0.05,
            wobble=0.25,
            keeps_clear=not move,
        )
    for lane in range(1, lay.right_lanes + 1):
        move = 0.0 if waits else speed * rng.uniform(0.7, 1.3)
        add(
            share(TRAFFIC, dense),
            lane * lay.lane,
            rng.uniform(14, 20),
            speed=move,
            wobble=0.25,
            keeps_clear=not move,
        )
    if drive == "follow":
        add(share(TRAFFIC, 0.9), 0.0, rng.uniform(13, 24), with_ego=True, wobble=0.3)
    for side, kerb, wall, pavement in (
        (1, lay.kerb_right, lay.wall_right, lay.pavement_right),
        (-1, lay.kerb_left, lay.wall_left, lay.pavement_left),
    ):
        for lane_x in np.arange(0.8, pavement - 0.3, 1.1):
            way = rng.choice([-1, 1])
            walk = way * rng.uniform(0.9, 1.7)
            add(
                (("person", 0.75 * busy),),
                kerb + side * lane_x,
                rng.uniform(7, 22),
                speed=walk,
                jitter=0.8,
                wobble=0.15,
            )
        add(
            (("person", 0.6 * busy),),
            kerb + side * rng.uniform(0.5, pavement - 0.4),
            rng.uniform(4, 10),
            jitter=0.9,
            wobble=0.6,
        )
        if rng.random() < 0.75:
            add(
                (("cyclist", 0.7),),
                kerb + side * rng.choice([-0.8, 0.9]),
                rng.uniform(16, 45),
                speed=rng.choice([-1, 1]) * rng.uniform(2.5, 6),
                wobble=0.2,
                jitter=0.8,
            )
        if rng.random() < 0.6:
            add(
                (("bicycle", 0.5 * rng.uniform(0.2, 1)), ("motorcycle", 0.04)),
                kerb + side * rng.uniform(0.5, 1.0),
                rng.uniform(1.0, 4.0),
                wobble=0.15,
                keeps_clear=True,
            )
        if rng.random() < 0.65:
            add((("tree", 0.85),), kerb + side * rng.uniform(0.7, 1.2), rng.uniform(7, 16), keeps_clear=True)
        if lay.open_right if side > 0 else lay.open_left:
            for row in (1.0, 6.0, 14.0, 26.0):
                add(
                    (("tree", 0.55), ("bush", 0.4)),
                    wall + side * row,
                    3.5 + 0.25 * row,
                    wobble=0.1 * row + 0.4,
                    keeps_clear=True,
                )
        elif lay.garden_left + lay.garden_right > 1:
            add(
                (("tree", 0.3), ("bush", 0.55)),
                wall - side * 1.2,
                rng.uniform(2.5, 6),
                wobble=1.0,
                keeps_clear=True,
            )
        else:
            add(
                (("tree", 0.5), ("bush", 0.3)),
                wall + side * 5,
                rng.uniform(9, 14),
                wobble=3.0,
                keeps_clear=True,
            )
        add(
            (("furniture", 0.75),),
            kerb + side * 0.55,
            rng.uniform(5, 13),
            jitter=0.8,
            wobble=0.15,
            keeps_clear=True,
        )
        add(
            (("furniture", 0.3),),
            wall - side * 0.5,
            rng.uniform(5, 13),
            jitter=0.8,
            wobble=0.15,
            keeps_clear=True,
        )
    if waits:  # the crossing before which the ego car stops is in use
        middle, half = lay.crossing_start, lay.crossing_half
        for aside in (-0.5, 0.5):
            add(
                share(TRAFFIC, dense),
                middle + aside * half,
                rng.uniform(13.5, 22),
                speed=-np.sign(aside) * -rng.uniform(4, 8),
                crosses=True,
                wobble=0.3,
            )
        for way in (-1, 1):
            add(
                (("person", 0.6 * busy), ("cyclist", 0.04)),
                middle - half - 2.2 + way * 0.7,
                rng.uniform(2.5, 7),
                speed=way * rng.uniform(1.0, 1.6),
                crosses=True,
                jitter=0.8,
                wobble=0.4,
            )
        add(
            (("person", 0.6 * busy),),
            middle + half + 2.2,
            rng.uniform(2.5, 7),
            speed=rng.uniform(1.0, 1.6),
            crosses=True,
            jitter=0.8,
            wobble=0.8,
        )
    return streams
