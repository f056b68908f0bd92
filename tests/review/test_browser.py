"""The page and the preview in a real browser; skipped where there is none.

Needs Chromium (Debian: apt-get install chromium) and, for what people do with mouse and keys, Playwright for Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annotator.review.preview import PREVIEW, write_preview
from annotator.review.recording import open_source
from tests.helpers.fake_detector import write_video
from tests.review.test_page import EVIL, label, page_of, source_record
from tests.review.test_preview import label as label_video

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


def dom_of(page: Path, link: str, home: Path) -> tuple[str, list[str]]:
    """The page as its script leaves it, and what the browser's console says."""
    flags = [*FLAGS, f"--user-data-dir={home / 'browser'}", "--virtual-time-budget=5000", "--dump-dom"]
    answer = subprocess.run(
        [str(CHROMIUM), *flags, f"{page.as_uri()}{link}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(home)},
    )
    return answer.stdout, [line for line in answer.stderr.splitlines() if ":CONSOLE" in line]


@needs_chromium
def test_a_link_leads_to_the_picture_of_its_frame(tmp_path: Path) -> None:
    label(tmp_path / "run" / EVIL.replace("/", "_"))
    page_of(tmp_path / "run", {EVIL: source_record(remarks=(EVIL,))})
    dom, console = dom_of(tmp_path / "run" / "report.html", "#s0-f7", tmp_path)
    assert console == []
    assert "<figcaption>frame 7</figcaption>" in dom
    assert 'alt="Labels of frame 7"' in dom
    assert 'src="data:image/webp;base64,' in dom
    assert "&lt;img src=x onerror=alert(1)&gt;" in dom


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright here: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_clicks_and_keys_show_frames_and_nothing_is_asked_for(tmp_path: Path, browser: Any) -> None:
    label(tmp_path / "drive")
    page_of(tmp_path, {"drive": source_record()})
    for width in (360, 1440):
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page = context.new_page()
            said: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto((tmp_path / "report.html").as_uri())
            plot = page.locator(".timeline .plot")
            box = plot.bounding_box()
            plot.click(position={"x": box["width"] * 3.5 / 12, "y": 5})
            assert page.locator(".picture figcaption").text_content() == "frame 3"
            page.mouse.move(0, 0)
            page.locator("[data-timeline]").press("ArrowRight")
            assert page.locator(".picture figcaption").text_content() == "frame 4"
            page.locator(".picture input").press("ArrowRight")
            assert page.locator(".picture figcaption").text_content() == "frame 5"
            assert page.locator(".picture img").get_attribute("alt") == "Labels of frame 5"
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert said == []
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
            context.close()


def test_the_preview_plays(tmp_path: Path, browser: Any) -> None:
    source = open_source(write_video(tmp_path / "drive.mp4"), "drive")
    with label_video(tmp_path / "labels", source) as store:
        write_preview(store, source, tmp_path / "labels")
    page = browser.new_page()
    page.goto((tmp_path / "labels" / PREVIEW).as_uri())
    page.evaluate(
        "async () => { const v = document.querySelector('video'); v.muted = true; await v.play(); }"
    )
    page.wait_for_function("document.querySelector('video').currentTime > 0.5", timeout=20_000)
