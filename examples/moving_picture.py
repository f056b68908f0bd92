"""Makes a moving picture of a preview: `python examples/moving_picture.py labels/drive/preview.mp4 drive.webp`."""

from __future__ import annotations

import argparse
from pathlib import Path

import av
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preview", type=Path)
    parser.add_argument("out", type=Path, help=".webp or .gif")
    parser.add_argument("--width", type=int, default=640, help="in pixels")
    parser.add_argument("--every", type=int, default=2, help="frames from one picture to the next")
    parser.add_argument("--quality", type=int, default=45, help="of WebP, 1 to 100")
    chosen = parser.parse_args()
    with av.open(str(chosen.preview)) as video:
        rate = float(video.streams.video[0].average_rate or 10)
        pictures = [frame.to_image() for frame in video.decode(video=0)][:: chosen.every]
    height = round(chosen.width * pictures[0].height / pictures[0].width)
    first, *others = [
        picture.resize((chosen.width, height), Image.Resampling.LANCZOS) for picture in pictures
    ]
    milliseconds = round(1000 * chosen.every / rate)
    first.save(
        chosen.out,
        save_all=True,
        append_images=others,
        duration=milliseconds,
        loop=0,
        quality=chosen.quality,
        method=6,
    )
    print(f"{chosen.out}: {len(pictures)} pictures, {chosen.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
