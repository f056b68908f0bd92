"""Gaps: where frames are missing, by what couldn't be decoded and by the time between frames."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from annotator.frames import Gap
from annotator.video.decoding import Damage
from annotator.video.opening import Claims

if TYPE_CHECKING:
    from av.video.frame import PictureType

MAX_REORDERED = 32  # no codec shows a frame later than this many frames after it was read


class Damages:
    """Turns damages, met in the order of the file, into gaps between frames, which come in order of time."""

    def __init__(self) -> None:
        self._waiting: list[
            tuple[Damage, int]
        ] = []  # with the index of the frame that was next when it was met
        self._is_guessing = False

    def add(self, damage: Damage, index: int) -> None:
        """Remember a damage that was met before frame `index` came out."""
        self._waiting.append((damage, index))

    def before(self, index: int, pts: int, is_guess: bool) -> Gap | None:
        """The gap right before frame `index`, if there is one. `is_guess`: the frame itself is damaged."""
        due = [
            damage
            for damage, met in self._waiting
            if damage.pts is None or damage.pts <= pts or index - met > MAX_REORDERED
        ]
        self._waiting = [(damage, met) for damage, met in self._waiting if damage not in due]
        if is_guess and not self._is_guessing:
            due.append(
                Damage(pts, "damaged data; the pictures from here on are partly guessed by the decoder")
            )
        self._is_guessing = is_guess
        return _gap(index, due)

    def at_end(self, count: int, missing: int) -> Gap | None:
        """The gap behind the last of `count` frames, if there is one."""
        rest = [damage for damage, _ in self._waiting]
        if missing:
            pts = rest[0].pts if rest else None
            rest.insert(0, Damage(pts, f"the file is cut short, {missing} bytes are missing"))
        return _gap(count, rest)


def _gap(index: int, damages: list[Damage]) -> Gap | None:
    if not damages:
        return None
    more = f", and {len(damages) - 1} more" if len(damages) > 1 else ""
    return Gap(index - 1, damages[0].pts, damages[0].reason + more)


def lost_before(claims: Claims, pts: int, kind: PictureType) -> Damage | None:
    """What is missing before the first frame, of time `pts`: a live recording may begin between keyframes."""
    from av.video.frame import PictureType

    lost_s = 0.0 if claims.first_pts is None else float((pts - claims.first_pts) * claims.time_base)
    if lost_s > 0:
        why = f"its first {lost_s:.2f} s can't be decoded"
    elif kind in (PictureType.P, PictureType.B):  # made of changes to pictures that are not there
        why = "its first pictures are partly guessed by the decoder"
    else:
        return None
    return Damage(claims.first_pts, f"the recording begins between keyframes: {why}")


class Rhythm:
    """Notices that frames are missing where they came evenly: demuxers pass over lost packets silently.

    A recording with a rate of its own for every frame has no rhythm to break.
    """

    STEPS = 12  # that must have been alike before a longer one counts as a break
    BREAK = 2.5  # times the longest step; a camera that drops a frame now and then has steps of 2

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._previous: int | None = None
        self._steps = 0
        self._shortest = self._longest = 0

    def gap_before(self, index: int, pts: int) -> Gap | None:
        """The gap right before frame `index`, if time jumps there."""
        previous, self._previous = self._previous, pts
        if previous is None:
            return None
        step = pts - previous
        if step <= 0:
            self._steps = 0  # times that don't rise have no rhythm
            return None
        is_even = self._steps >= self.STEPS and self._longest <= self.BREAK * self._shortest
        if is_even and step > self.BREAK * self._longest:
            seconds = float(step * self._time_base)
            return Gap(
                index - 1, previous + self._longest, f"no frames for {seconds:.2f} s, lost or not recorded"
            )
        self._shortest = min(step, self._shortest) if self._steps else step
        self._longest = max(step, self._longest) if self._steps else step
        self._steps += 1
        return None
