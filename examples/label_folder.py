"""Labels the videos and images of a folder, with the model in the package or own weights.

python examples/label_folder.py drives/ labels/ [--weights own.safetensors]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from annotator import AnnotationJob, annotate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, help="own ones, instead of those in the package")
    chosen = parser.parse_args()
    job = AnnotationJob((chosen.inputs,), chosen.out, formats=("coco", "cvat"), weights=chosen.weights)
    for event in annotate(job):  # it may be stopped at any time: the same job goes on from there
        record = getattr(event, "record", None)
        if record is not None:  # a recording has ended
            print(f"{record.name}: {record.error or f'{record.frames} frames, {record.instances} objects'}")


if __name__ == "__main__":
    main()
