"""Damaged inputs of all kinds, as many as there is time for: python -m tests.benchmarks.fuzz_front_door --inputs 20000

Faults are told by input; the inputs stay in OUT/failed/NUMBER, with the call and what went wrong.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.fuzzing import fuzz


def main() -> None:
    """Print what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--out", type=Path, help="folder for inputs that fail  [default: a new temporary one]"
    )
    chosen = parser.parse_args()
    out = chosen.out or Path(tempfile.mkdtemp(prefix="fuzz_"))
    kinds = Counter[str]()
    numbers = range(chosen.first, chosen.first + chosen.inputs)
    for fault in fuzz(out, numbers, chosen.seed, chosen.workers):
        kinds[fault.kind] += 1
        print(f"{fault.number} ({fault.kind}): {fault.what}", flush=True)
    print(
        f"{chosen.inputs} inputs, {kinds.total()} faults {dict(kinds)}; failing inputs are in {out / 'failed'}"
    )


if __name__ == "__main__":
    main()
