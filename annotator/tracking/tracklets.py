"""Tracklets: pieces of tracks, as detections by frame and position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DetectionIndex = tuple[int, int]  # frame of the sequence, position in the frame
Tracklet = list[DetectionIndex]  # frames ascending


def merge_chains(tracklets: Sequence[Tracklet], following: Mapping[int, int]) -> list[Tracklet]:
    """Merge each tracklet with the one that follows on it, by number; results are in order of appearance."""
    tracks = []
    for head in sorted(set(range(len(tracklets))) - set(following.values())):
        track, last = list(tracklets[head]), head
        while last in following:
            last = following[last]
            track += tracklets[last]
        tracks.append(sorted(track))
    return tracks
