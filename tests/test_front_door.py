"""Whatever comes in by any door ends in labels or a sentence: no traceback, crash, hang, or more than 2 GB.

More inputs, by hand: python -m tests.benchmarks.fuzz_front_door
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults.fuzzing import fuzz

INPUTS = 2_000
SEED = 20


@pytest.mark.skipif(sys.platform != "linux", reason="the time and memory of workers are looked up in /proc")
def test_damaged_inputs_end_in_labels_or_a_sentence(tmp_path: Path) -> None:
    faults = list(fuzz(tmp_path, range(INPUTS), SEED))
    assert not faults, "\n".join(f"input {fault.number} ({fault.kind}): {fault.what}" for fault in faults)
