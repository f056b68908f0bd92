"""Plots when and where tracks are seen, with matplotlib (the extra `plots`).

python examples/plot_tracks.py labels/drive tracks.png
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
from pycocotools import mask

from annotator import read_labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path, help=".png, .svg or .pdf")
    chosen = parser.parse_args()
    frames: dict[int, list[int]] = defaultdict(list)
    centres: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for truth in read_labels(chosen.labels):
        found = truth.instances
        for rle, track_id in zip(found.masks, found.track_ids.tolist(), strict=True):
            left, top, width, height = mask.toBbox(rle).tolist()
            frames[track_id].append(found.frame.index)
            centres[track_id].append((left + width / 2, top + height / 2))
    figure, (when, where) = plt.subplots(2, figsize=(10, 8), constrained_layout=True)
    for row, track_id in enumerate(sorted(frames)):
        when.plot(frames[track_id], [row] * len(frames[track_id]), ".", markersize=3)
        where.plot(*zip(*centres[track_id], strict=True), linewidth=1, label=str(track_id))
    when.set(title=f"{len(frames)} tracks, by frame", xlabel="frame", yticks=[])
    where.set(title="Centres of their boxes", xlabel="x", ylabel="y")
    where.invert_yaxis()  # as pictures are
    figure.savefig(chosen.out, dpi=120)
    plt.close(figure)
    print(f"{chosen.out}: {len(frames)} tracks")


if __name__ == "__main__":
    main()
