"""The units that packets of H.264 consist of: as far as is needed to know where decoding can begin."""

from __future__ import annotations

from collections.abc import Iterator

START_CODE = b"\0\0\1"
PICTURES, INSTANT_REFRESH = frozenset({1, 2, 3, 4, 5, 20, 21}), 5  # types of units
PARAMETERS = frozenset({7, 8, 13, 15})
MESSAGES = 6
DISPLAY_ORIENTATION = 47  # a message that turns pictures until it is taken back


class EntryJudge:
    """Says of each packet of a stream in turn whether decoding can begin with it.

    It can with an instant refresh, behind which nothing refers to pictures before it, that brings along whatever
    parameters the stream has sent.
    """

    def __init__(self, extradata: bytes) -> None:
        self._extradata = extradata
        self._sent: set[bytes] = set()

    def __call__(self, packet: bytes, is_keyframe: bool) -> bool:
        """Whether it is an entry. Raises ValueError for a stream that can't be judged."""
        pictures, parameters = set(), set()
        for kind, unit in units(packet, self._extradata):
            if kind in PICTURES:
                pictures.add(kind)
            elif kind in PARAMETERS:
                parameters.add(unit)
            elif kind == MESSAGES and turns_pictures(unit):
                raise ValueError("pictures are turned on the way")
        self._sent |= parameters
        return is_keyframe and pictures == {INSTANT_REFRESH} and self._sent <= parameters


def units(packet: bytes, extradata: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each unit of a packet. Raises ValueError where it isn't made of such."""
    for unit in _split(packet, extradata):
        if len(unit) < 2:
            raise ValueError("a unit without content")
        yield unit[0] & 31, unit


def _split(packet: bytes, extradata: bytes) -> Iterator[bytes]:
    if extradata[:1] == b"\1" and len(extradata) > 4:  # as in mp4: each unit behind its length
        size = (extradata[4] & 3) + 1
        at = 0
        while at < len(packet):
            begin = at + size
            at = begin + int.from_bytes(packet[at:begin], "big")
            if at > len(packet):
                raise ValueError("a unit goes beyond its packet")
            yield packet[begin:at]
        return
    at = packet.find(START_CODE)
    if at < 0 or packet[:at].strip(b"\0"):
        raise ValueError("a packet doesn't begin with a unit")
    while at >= 0:
        begin = at + len(START_CODE)
        at = packet.find(START_CODE, begin)
        yield packet[begin : at if at >= 0 else None].rstrip(b"\0")


def turns_pictures(message: bytes) -> bool:
    """Whether a unit of messages may hold one that turns pictures."""
    at = 1
    while at + 2 <= len(message) and message[at:] != b"\x80":
        numbers = []
        for _ in range(2):  # the type, then the size
            number = 0
            while at < len(message) and message[at] == 0xFF:
                number, at = number + 0xFF, at + 1
            if at >= len(message):
                return True
            numbers.append(number + message[at])
            at += 1
        if numbers[0] == DISPLAY_ORIENTATION:
            return True
        # Bytes that only keep start codes away don't count, and so the next message may begin later.
        rest = message[at:]
        if b"\0\0\3" in rest[: numbers[1] + 2]:
            return bytes([DISPLAY_ORIENTATION]) in rest
        at += numbers[1]
    return False
