"""Takes an export of CVAT that people corrected: what they changed, and COCO to train on.

    python examples/come_back_from_cvat.py labels/drive export.zip corrected/

The export is "CVAT for video 1.1" or "CVAT for images 1.1", zipped or not; what was imported there is
labels/drive/cvat.xml. With a server, spatialemb-cvat push and pull do both ways.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from annotator import evaluate, read_labels, write_labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ours", type=Path)
    parser.add_argument("export", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    edits = evaluate(chosen.ours, chosen.export, ["edits"])
    for part, class_name, name, value in edits.rows():
        if (part, class_name) == ("edits", "all"):
            print(f"{name}: {value:g}")
    corrected = (truth.instances for truth in read_labels(chosen.export))
    for path in write_labels(corrected, chosen.out, "coco", name=chosen.ours.name):
        print(path)


if __name__ == "__main__":
    main()
