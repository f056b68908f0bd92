"""Renders a drive along a street as a video: `python examples/render_drive.py drive.mp4 --seed 257`.

Without options it makes `examples/drive.mp4` again. `annotator.synthetic.Street` gives the same frames with
the exact mask and identity of everybody in them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from annotator.synthetic import write_drive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).with_name("drive.mp4"))
    parser.add_argument("--seed", type=int, default=257, help="another seed is another street")
    parser.add_argument("--height", type=int, default=384)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--frames", type=int, default=80, help="at 10 frames per second")
    chosen = parser.parse_args()
    write_drive(chosen.path, chosen.seed, (chosen.height, chosen.width), chosen.frames)
    print(f"{chosen.path}: {chosen.frames} frames, {chosen.path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
