"""--doctor tells what a machine has to label with; help lists options by what they are about; shells complete them."""

from __future__ import annotations

import os
import subprocess
import sys

import av
import pytest
from click.testing import CliRunner

from annotator.errors import CheckpointError
from annotator.options import GROUPS
from cli import doctor
from cli.annotate import command
from tests.helpers.commands import Run, in_process
from tests.helpers.fake_detector import ROOT


@pytest.fixture
def annotate(capsys: pytest.CaptureFixture[str]) -> Run:
    return in_process(command, capsys)


def test_a_machine_that_can_label_is_told_and_nothing_is_labelled(annotate: Run) -> None:
    answer = annotate("--doctor")
    assert (answer.returncode, answer.stderr) == (0, "")
    states = {line.split()[1]: line.split()[0] for line in answer.stdout.splitlines()}
    assert set(states) == {
        *["system", "packages", "GPU", "network", "video", "previews", "memory", "cache", "disk"]
    }
    assert "fault" not in states.values()


def test_what_is_missing_is_told_with_its_remedy(annotate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import annotator.detection.runtime as runtime

    def damaged(*arguments: object) -> None:
        raise CheckpointError("street.safetensors: is damaged")

    monkeypatch.setattr(runtime, "load_runtime", damaged)
    monkeypatch.setattr(av, "codecs_available", {"h264", "mpeg4", "mjpeg"})
    answer = annotate("--doctor")
    assert answer.returncode == 1
    lines = {line.split()[1]: line for line in answer.stdout.splitlines()}
    assert lines["network"].startswith("fault")
    assert "install spatialemb-annotate again" in lines["network"]
    assert lines["video"].startswith("note")
    assert "not hevc, vp9, av1" in lines["video"]
    assert "install PyAV" in lines["previews"]


def test_a_look_that_fails_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "_memory", broken)
    findings = {finding.what: finding for finding in doctor.examine()}
    assert findings["memory"].is_fault
    assert findings["disk"].state == doctor.OK


def test_help_lists_options_by_group() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    heads = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert heads == [*GROUPS, "Other"]
    parts = dict(zip(heads, "".join(f"\n{text}").split("Input:", 1)[1].split("\n\n"), strict=False))
    assert "--every" in parts["Input"]
    assert "--preview" in parts["Output"]
    assert "--weights" in parts["Detection"]
    assert "--doctor" in parts["Other"]


def test_shells_complete_options() -> None:
    script = "import sys; sys.argv[0] = 'spatialemb-annotate'; from cli.annotate import main; main()"
    words = {"_SPATIALEMB_ANNOTATE_COMPLETE": "bash_complete", "COMP_WORDS": "x --min-t", "COMP_CWORD": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **words},
        check=False,
    )
    assert answer.stdout.split() == ["plain,--min-track"]
