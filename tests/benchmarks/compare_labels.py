"""Byte-compare the labels of two commits: python -m tests.benchmarks.compare_labels e1e2414 HEAD drive.mp4 -- --end 40

Each commit labels every input in all formats, with PyTorch in 32 bit, so that nothing depends on the hardware's taste.
A folder in the place of a commit is a run made before. Options of spatialemb-annotate may follow behind `--`. Told is
every label file that differs or is on one side only; stores and run.json, which hold times, are left out. Exit code 1
when anything differs.
"""

from __future__ import annotations

import argparse
import filecmp
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from annotator.options import FORMATS

ROOT = Path(__file__).parents[2]
UNCOMPARED = ("run.json", "labels.sqlite", ".lock")


def run_of(commit: str, inputs: list[Path], options: list[str], work: Path) -> Path:
    """Label the inputs with the code of a commit, and return the run; a folder is a run already."""
    if Path(commit).is_dir():
        return Path(commit)
    code, out = work / "code", work / "labels"
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(code, filter="data")
    command = [sys.executable, "-m", "cli.annotate", *map(str, inputs), "--out", str(out), "--quiet"]
    command += ["--format", ",".join(FORMATS), "--runtime", "torch", "--precision", "32", *options]
    subprocess.run(command, cwd=code, env={**os.environ, "PYTHONPATH": str(code)}, check=True)
    return out


def differences(before: Path, after: Path) -> Iterator[str]:
    """Every label file that isn't the same in both runs, with what is wrong of it."""
    names = [_files(run) for run in (before, after)]
    for name in sorted(names[0] ^ names[1]):
        yield f"{name}: only in {before if name in names[0] else after}"
    for name in sorted(names[0] & names[1]):
        if not filecmp.cmp(before / name, after / name, shallow=False):
            yield f"{name}: differs"


def _files(run: Path) -> set[str]:
    files = (file for file in run.rglob("*") if file.is_file() and file.name not in UNCOMPARED)
    return {file.relative_to(run).as_posix() for file in files}


def main() -> int:
    """Compare, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", help="a commit, or a run made before")
    parser.add_argument("after", help="another")
    parser.add_argument("inputs", nargs="*", type=Path, help="recordings; none to compare two runs")
    arguments, options = sys.argv[1:], list[str]()
    if "--" in arguments:
        arguments, options = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    asked = parser.parse_args(arguments)
    inputs = [path.absolute() for path in asked.inputs]
    with tempfile.TemporaryDirectory(prefix="spatialemb-") as folder:
        before = run_of(asked.before, inputs, options, Path(folder, "before"))
        after = run_of(asked.after, inputs, options, Path(folder, "after"))
        count = len(_files(before) | _files(after))
        different = list(differences(before, after))
    print(*different, f"{count} label files, {len(different)} of them not the same", sep="\n")
    return int(bool(different) or not count)


if __name__ == "__main__":
    sys.exit(main())
