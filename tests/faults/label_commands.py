"""What reads labels, one command behind the other: `python -m tests.faults.label_commands LABELS OUT`."""

from __future__ import annotations

import sys

from cli import convert, evaluate, shell

# What they import when they are at work, for whoever forks this.
USED = (
    *(f"annotator.evaluation.{name}" for name in ("report", "output", "coco_ap", "boundary")),
    *("annotator.pipeline.convert", "annotator.formats.check", "cli.tables"),
    *(f"annotator.formats.coco.{name}" for name in ("check", "reader", "writer")),
)


def main() -> None:
    """Convert labels, check them and evaluate them by themselves; stderr has each exit code behind what was said."""
    path, out = sys.argv[1:]
    for command, arguments in (
        (convert.command, [path, "--to", "coco", "--out", out]),
        (convert.command, ["check", path]),
        (evaluate.command, [path, path]),
    ):
        code = shell.run(command, arguments)
        print(f"\n--- {code}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
