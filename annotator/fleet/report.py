"""What a fleet's run has done: each recording's state and figures, the whole, and when it may be over."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotator.errors import ExitCode, UsageError
from annotator.escape import encodable, read_object
from annotator.files import atomic_file, write_json
from annotator.fleet.address import url_of
from annotator.fleet.markers import FAILURE, MARKER
from annotator.fleet.storage import Storage
from annotator.pipeline.run import Run
from annotator.store.lock import RUN_FILE
from annotator.store.records import (
    DONE,
    FAILED,
    INTERRUPTED,
    PENDING,
    RUNNING,
    SourceRecord,
    read_records,
    record_files,
    record_of,
)

JSON_NAME, CSV_NAME = "fleet.json", "fleet.csv"
STATES = (DONE, FAILED, INTERRUPTED, RUNNING, PENDING)
OF_A_RUN = (
    "tool",
    "versions",
    "state",
    "started",
    "ended",
    "workers",
    "sources",
)  # what every run writes itself


@dataclass(frozen=True)
class Row:
    """How it went with one recording."""

    name: str
    state: str
    frames: int
    objects: int  # tracks; instances where nothing was tracked
    seconds: float
    doubts: int  # gaps, remarks, and what formats could not hold
    error: str


@dataclass(frozen=True)
class FleetReport:
    """The state of a run."""

    rows: Sequence[Row]  # by name
    absent: Mapping[int, Sequence[int]]  # shards without a file, by the number of shards
    workers: int = 0  # of a cluster, which takes in more recordings than it works at; 0 for a recording each

    @property
    def states(self) -> Mapping[str, int]:
        """How many recordings are in each state."""
        found = Counter(row.state for row in self.rows)
        return {state: found[state] for state in STATES}

    @property
    def totals(self) -> Mapping[str, float]:
        """Frames, objects, seconds and doubts of all recordings together."""
        keys = ("frames", "objects", "seconds", "doubts")
        return {key: round(sum(getattr(row, key) for row in self.rows), 3) for key in keys}

    @property
    def frames_per_second(self) -> float | None:
        """Frames that one worker labels in a second, all its work included; None as long as nothing is done."""
        done = [row for row in self.rows if row.state == DONE]
        seconds = sum(row.seconds for row in done)
        return round(sum(row.frames for row in done) / seconds, 3) if seconds else None

    @property
    def seconds_left(self) -> float | None:
        """When the run may be over, if the rest is like what is done; None where nobody works, or nothing is done."""
        done = [row.seconds for row in self.rows if row.state == DONE and row.seconds]
        working = self.states[RUNNING]
        if not done or not working:
            return None
        left = self.states[PENDING] + self.states[INTERRUPTED] + working / 2
        return round(left * sum(done) / len(done) / (self.workers or working))

    @property
    def exit_code(self) -> int:
        """0: all are labelled. 1: some are not. 3: none is."""
        done = self.states[DONE]
        if done == len(self.rows) and not self.absent:
            return ExitCode.OK
        return ExitCode.SOME_FAILED if done else ExitCode.NOTHING_LABELLED

    def as_json(self) -> dict[str, Any]:
        """All of it, for fleet.json."""
        return {
            "states": dict(self.states),
            "totals": dict(self.totals),
            "frames_per_second_of_a_worker": self.frames_per_second,
            "seconds_left": self.seconds_left,
            "absent_shards": {str(count): list(which) for count, which in self.absent.items()},
            "recordings": [asdict(row) for row in self.rows],
        }


def report(out: Path, csv_file: Path | None = None) -> FleetReport:
    """Report on a run, and write fleet.json and a CSV; records of shards go into run.json where nobody works any more.

    Of a storage it tells what has a marker: what is still to come isn't known there. Into one that can only be read
    nothing is written but a CSV that is asked for. Raises UsageError when there is no run, StorageError when a storage
    doesn't answer, OutputError when files can't be written.
    """
    url = url_of(out)
    return _on_storage(Storage(url), csv_file) if url else _on_folder(out, csv_file)


def _on_folder(out: Path, csv_file: Path | None) -> FleetReport:
    files = [path for path in record_files(out) if path.is_file()]
    if not files:
        raise UsageError(f"{out}: no run is here; name the `out` of spatialemb-annotate")
    records: dict[str, SourceRecord] = {}
    for path in files:
        records |= read_records(path, is_over=False)
    absent = _absent(files)
    found = FleetReport([_row(records[name]) for name in sorted(records)], absent, _workers(files))
    _take_in(out, files)
    write_json(out / JSON_NAME, found.as_json())
    _write_csv(found.rows, csv_file or out / CSV_NAME)
    return found


def _on_storage(storage: Storage, csv_file: Path | None) -> FleetReport:
    marks: dict[str, str] = {}  # of each recording; the marker of labels counts more than that of a failure
    for stored in storage.find():
        name, _, file = stored.key.rpartition("/")
        if name and (file == MARKER or (file == FAILURE and name not in marks)):
            marks[name] = stored.key
    if not marks:
        raise UsageError(f"{storage.name}: no labels are here; name the `out` of spatialemb-annotate")
    rows = []
    for name, content in zip(marks, storage.read_jsons(marks.values()), strict=True):
        state = DONE if marks[name].endswith(MARKER) else FAILED
        said = (content or {}).get("record")
        known = said if isinstance(said, dict) else {}
        record = record_of({"path": storage.name, **known, "name": name, "state": state})
        rows.append(_row(record or SourceRecord(name, storage.name, state)))
    found = FleetReport(sorted(rows, key=lambda row: row.name), {})
    if storage.is_writable:
        storage.write_json(JSON_NAME, found.as_json())
        storage.write(CSV_NAME, _csv(found.rows).encode())
    if csv_file is not None:
        _write_csv(found.rows, csv_file)
    return found


def _row(record: SourceRecord) -> Row:
    losses = sum(sum(of_format.values()) for of_format in record.losses.values())
    return Row(
        record.name,
        record.state,
        record.frames,
        record.tracks or record.instances,
        record.seconds,
        record.gaps + len(record.remarks) + losses,
        record.error or "",
    )


def _absent(files: Sequence[Path]) -> dict[int, list[int]]:
    """Shards that have no file, of those numbers of shards of which some have one."""
    there: dict[int, set[int]] = {}
    for path in files:
        if found := re.fullmatch(r"run\.(\d+)-of-(\d+)\.json", path.name):
            there.setdefault(int(found[2]), set()).add(int(found[1]))
    absent = {count: sorted(set(range(1, count + 1)) - seen) for count, seen in there.items()}
    return {count: which for count, which in absent.items() if which}


def _workers(files: Sequence[Path]) -> int:
    """Those that runs under way have on clusters."""
    counts = [about.get("workers") for path in files if (about := read_object(path)).get("state") == RUNNING]
    return sum(count for count in counts if type(count) is int and count > 0)


def _take_in(out: Path, files: Sequence[Path]) -> None:
    """Put the records of shards into run.json, unless a run is going on; whoever runs next does it too."""
    if files == [out / RUN_FILE]:
        return
    about = {key: value for key, value in read_object(files[-1]).items() if key not in OF_A_RUN}
    try:
        with Run(out, about, []):
            pass
    except UsageError:
        return


def _write_csv(rows: Sequence[Row], path: Path) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(_csv(rows).encode())


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO(newline="")
    lines = csv.DictWriter(text, list(Row.__dataclass_fields__), lineterminator="\n")
    lines.writeheader()
    lines.writerows(
        {key: encodable(value) if isinstance(value, str) else value for key, value in asdict(row).items()}
        for row in rows
    )
    return text.getvalue()
