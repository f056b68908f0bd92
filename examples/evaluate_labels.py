"""Scores labels against truth: `python examples/evaluate_labels.py labels/ truth/ [--least coco.AP=0.2]`.

Both may be of any kind that can be read. With --least it fails below a figure, as a check of new weights should.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from annotator import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--least", metavar="FIGURE=VALUE")
    chosen = parser.parse_args()
    report = evaluate(chosen.labels, chosen.truth)
    for part, class_name, name, value in report.rows():
        if class_name == "all":
            print(f"{part}.{name}: {value:.3f}")
    if chosen.least:
        name, least = chosen.least.split("=")
        if not report.figure(name) >= float(least):
            sys.exit(f"{name} is {report.figure(name):.3f}, below {least}")


if __name__ == "__main__":
    main()
