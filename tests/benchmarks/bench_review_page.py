"""The review page of a large run: CPU seconds to make it, its size, and how long Chromium takes to open it.

python -m tests.benchmarks.bench_review_page [--recordings 20] [--frames 1000] [--objects 12]

The stores are made here: tracks that come and go, with gaps and jumps. Needs Playwright and a Chromium, as the tests
of the page do.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from annotator.instances import Instances
from annotator.masks import encode_window
from annotator.options import ReviewJob
from annotator.review.page import FILE_NAME as REPORT
from annotator.review.review import review
from annotator.store import Store
from annotator.store.records import SourceRecord
from tests.helpers.builders import finish, frame_ref

SIZE = (720, 1280)
LIFE = 60  # frames that a track lasts
CLASSES = (24, 26, 27, 33)


def drive(frames: int, objects: int) -> Iterator[Instances]:
    """Ellipses that drive to the right, each through a lane and a life of its own."""
    random = np.random.default_rng(257)
    rows, columns = np.indices((60, 90)) - np.array([29.5, 44.5])[:, None, None]
    ellipse = (columns / 45) ** 2 + (rows / 30) ** 2 < 1
    for k in range(frames):
        masks, tracks = [], []
        for lane in range(objects):
            life, age = divmod(k + 7 * lane, LIFE)
            if random.random() < 0.05:
                continue  # a gap
            left = int(20 + 18 * age + (random.random() < 0.02) * 60)
            masks.append(encode_window(ellipse, 20 + lane * 640 // objects, left, SIZE))
            tracks.append(1 + lane + life * objects)
        classes = [CLASSES[track % len(CLASSES)] for track in tracks]
        scores = random.uniform(0.3, 1, len(tracks)).tolist()
        yield Instances.of(frame_ref(k, SIZE), masks, classes, scores, track_ids=tracks)


def label(folder: Path, frames: int, objects: int) -> None:
    """A store of it."""
    with Store.open(folder, {"made": "here"}) as store:
        store.add(list(drive(frames, objects)))
        finish(store)


def open_page(report: Path) -> dict[str, float]:
    """Milliseconds that Chromium takes until the page is loaded and painted, and to show a frame by a key."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(report.as_uri())
        took = page.evaluate(
            "new Promise(done => requestAnimationFrame(() => setTimeout(() => done({"
            " loaded: performance.getEntriesByType('navigation')[0].loadEventEnd,"
            " painted: (performance.getEntriesByType('paint')[0] || {startTime: NaN}).startTime,"
            " responsive: performance.now() }))))"
        )
        begin = time.perf_counter()
        page.locator("[data-timeline]").last.press("ArrowRight")
        took["scrolled to the last timeline and moved"] = 1000 * (time.perf_counter() - begin)
        chromium.close()
    return dict(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=12)
    parser.add_argument("--keep", type=Path, help="where the page is left")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        label(run / "drive0", arguments.frames, arguments.objects)
        names = [f"drive{k}" for k in range(arguments.recordings)]
        for name in names[1:]:
            shutil.copytree(run / "drive0", run / name)
        records = {name: SourceRecord(name, f"/data/{name}.mp4", state="done") for name in names}
        begin = time.process_time()
        errors = [made.error for made in review(ReviewJob(run, preview=False), records) if made.error]
        assert not errors, errors
        print(f"made in {time.process_time() - begin:.1f} s of CPU")
        print(f"{(run / REPORT).stat().st_size / 1e6:.1f} MB")
        if arguments.keep:
            shutil.copy(run / REPORT, arguments.keep)
        for what, milliseconds in open_page(run / REPORT).items():
            print(f"{what}: {milliseconds:.0f} ms")


if __name__ == "__main__":
    main()
