"""Renders a drive along a street as a video: `python examples/render_drive.py drive.mp4 --seed 257`.

Without options it makes `examples/drive.mp4` again. `--truth FOLDER` also writes the exact mask and identity of
everybody in it, as ground truth for `spatialemb-eval`.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

from annotator.frames import FrameRef
from annotator.instances import Instances
from annotator.masks import encode_label_map
from annotator.store import IMPORTED, Store
from annotator.synthetic import Street, write_drive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).with_name("drive.mp4"))
    parser.add_argument("--seed", type=int, default=257, help="another seed is another street")
    parser.add_argument("--height", type=int, default=384)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--frames", type=int, default=80, help="at 10 frames per second")
    parser.add_argument("--truth", type=Path, help="folder for exact labels")
    chosen = parser.parse_args()
    write_drive(chosen.path, chosen.seed, (chosen.height, chosen.width), chosen.frames)
    print(f"{chosen.path}: {chosen.frames} frames, {chosen.path.stat().st_size / 1e6:.2f} MB")
    if chosen.truth:
        write_truth(chosen.truth, Street(chosen.seed, (chosen.height, chosen.width)), chosen.frames)


def write_truth(folder: Path, street: Street, frames: int) -> None:
    """The labels of a recording, as spatialemb-annotate keeps them."""
    tracks = []
    with Store.open(folder, {}) as store:
        for index in range(frames):
            drawn = street.frame(index)
            rles = encode_label_map(drawn.label_map)
            frame = FrameRef(index, index, Fraction(1, int(street.fps)), street.size)
            classes = [drawn.classes[track] for track in rles]
            store.add([Instances.of(frame, list(rles.values()), classes, [1] * len(rles))])
            tracks += [(index, place, track) for place, track in enumerate(rles)]
        store.set_tracks(tracks)
        store.update(IMPORTED)


if __name__ == "__main__":
    main()
