"""The page and the preview in a real browser; skipped where there is none.

Needs Playwright for Python, of the extra `test`, and a Chromium: one that is installed (Debian: apt-get install
chromium), or Playwright's own (python -m playwright install --only-shell chromium, with PLAYWRIGHT_BROWSERS_PATH set
then and here, as tests see no caches of users). axe-core, which finds what keeps people out, is looked for where
AXE_CORE says: the file axe.min.js of the npm package axe-core.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annotator.options import ReviewJob
from annotator.review.preview import PREVIEW, write_preview
from annotator.review.recording import open_source
from annotator.review.review import review
from tests.helpers.fake_detector import write_video
from tests.review.test_page import EVIL, label, page_of, source_record
from tests.review.test_preview import label as label_video

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE_CORE = Path(os.environ.get("AXE_CORE", ""))
needs_axe = pytest.mark.skipif(not AXE_CORE.is_file(), reason="no axe.min.js where AXE_CORE says")
WIDTHS, SCHEMES = (360, 1440), ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright here: pip install playwright"
    )
    with playwright.sync_playwright() as started:
        try:
            chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium here: playwright install --only-shell chromium ({error.message[:60]})")
        yield chromium
        chromium.close()


@dataclass
class Opened:
    """A page, what its console says, and what it asks for beyond itself."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """What stands below the picture."""
        return str(self.page.locator(".picture figcaption").text_content())


@contextmanager
def opened(
    browser: Any, report: Path, link: str = "", width: int = 1440, scheme: str = "light"
) -> Iterator[Opened]:
    """The page in a window of its own; when that closes, nothing was said or asked for."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    this = Opened(context.new_page())
    this.page.on("console", lambda message: this.said.append(message.text))
    this.page.on("pageerror", lambda error: this.said.append(str(error)))
    this.page.on("dialog", lambda dialog: this.said.append(dialog.message))
    this.page.on("request", lambda request: this.asked.append(request.url))
    this.page.goto(report.as_uri() + link)
    yield this
    assert this.said == []
    assert {url for url in this.asked if not url.startswith("data:")} == {report.as_uri()}
    context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a recording, of one that failed, and of differences to another run."""
    run, other = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("other")
    label(run / "drive")
    label(other / "drive", frames=10)
    records = {
        "drive": source_record(remarks=("two remarks",)),
        "bad": source_record(state="failed", error="bad.mp4: no frames"),
    }
    assert [made.error for made in review(ReviewJob(run, other, preview=False), records)] == [None, None]
    return run / "report.html"


def test_a_link_leads_to_the_picture_of_its_frame(report: Path, browser: Any) -> None:
    link = "#s1-f7"  # of the second recording, by name
    with opened(browser, report, link) as this:
        assert this.shown == "frame 7"
        image = this.page.locator(".picture img")
        assert image.get_attribute("alt") == "Labels of frame 7"
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128


@pytest.mark.parametrize("where", ["name", "told"])
def test_what_users_name_stays_text(tmp_path: Path, browser: Any, where: str) -> None:
    name = EVIL if where == "name" else "drive"
    label(tmp_path / name)
    evil = {} if where == "name" else {"path": f"/{EVIL}.mp4", "error": EVIL, "remarks": (EVIL,)}
    page_of(tmp_path, {name: source_record(**evil)})
    with opened(browser, tmp_path / "report.html") as this:
        assert EVIL in this.page.locator("section").text_content()
        assert this.page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_clicks_and_keys_show_frames(report: Path, browser: Any, width: int, scheme: str) -> None:
    with opened(browser, report, width=width, scheme=scheme) as this:
        plot = this.page.locator(".timeline .plot")
        box = plot.bounding_box()
        plot.click(position={"x": box["width"] * 3.5 / 12, "y": 5})
        assert this.shown == "frame 3"
        this.page.mouse.move(0, 0)
        this.page.locator("[data-timeline]").press("ArrowRight")
        assert this.shown == "frame 4"
        this.page.locator(".picture input").press("ArrowRight")
        assert this.shown == "frame 5"
        assert this.page.locator(".picture img").get_attribute("alt") == "Labels of frame 5"
        assert this.page.evaluate("document.documentElement.scrollWidth") <= width


@needs_axe
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_serious_fault(report: Path, browser: Any, width: int, scheme: str) -> None:
    with opened(browser, report, width=width, scheme=scheme) as this:
        this.page.evaluate(
            AXE_CORE.read_text(encoding="utf-8")
        )  # not as an element: the page's policy forbids it
        found = this.page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        assert [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ] == []


def test_the_preview_plays(tmp_path: Path, browser: Any) -> None:
    source = open_source(write_video(tmp_path / "drive.mp4"), "drive")
    with label_video(tmp_path / "labels", source) as store:
        write_preview(store, source, tmp_path / "labels")
    page = browser.new_page()
    page.goto((tmp_path / "labels" / PREVIEW).as_uri())
    can_play = page.evaluate(
        "document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.64001f\"')"
    )
    if not can_play:
        pytest.skip("this Chromium has no decoder for H.264")
    page.evaluate(
        "async () => { const v = document.querySelector('video'); v.muted = true; await v.play(); }"
    )
    page.wait_for_function("document.querySelector('video').currentTime > 0.5", timeout=20_000)
