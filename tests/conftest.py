"""What all tests share: caches of users stay out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None)  # machines may be busy
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compiled networks go to a folder of this session, also those of child processes."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_disks() -> Iterator[None]:
    """No test cuts the power, and waiting for a busy disk, with what others write to it, takes minutes of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        patch.setattr(os, "sync", lambda: None, raising=False)  # not on Windows
        yield


@pytest.fixture(scope="session")
def toy_processes() -> Iterator[Any]:
    """Processes of tests.helpers.fake_detector, as a `Forks`."""
    from tests.helpers.forks import forks_of

    used = (
        "cli.annotate",
        "annotator.pipeline.annotate",
        "annotator.formats.registry",
        "annotator.review.preview",
    )
    writers = [f"annotator.formats.{name}.writer" for name in ("coco", "cvat", "mots")]
    with forks_of("tests.helpers.fake_detector", *used, *writers) as forks:
        yield forks
