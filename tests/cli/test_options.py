"""Options are checked when they are made, and the command line is made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from annotator.errors import UsageError
from annotator.options import (
    FORMATS,
    AnnotationJob,
    CvatOptions,
    DetectionOptions,
    TrackingOptions,
    options_of,
)
from cli.annotate import command
from cli.options import build, options_from, with_flags

HERE = Path("drive.mp4")


def test_defaults_are_valid() -> None:
    job = AnnotationJob(inputs=(HERE,), out=Path("labels"))
    assert job.formats == ("cityscapes", "coco", "cvat")
    assert job.detection == DetectionOptions(every=1, start=0, end=None, scale=None, seed_threshold=0.65)
    assert job.tracking.enabled


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"every": 0}, "`every` must be at least 1, not 0"),
        ({"start": -1}, "`start` must be at least 0, not -1"),
        ({"start": 7, "end": 7}, "`end` 7 leaves no frame to label after `start` 7"),
        ({"seed_threshold": 1.5}, "`seed_threshold` must be between 0.5 and 1, not 1.5"),
        ({"seed_threshold": float("nan")}, "`seed_threshold` must be between 0.5 and 1, not nan"),
        ({"scale": 0.0}, "`scale` must be between 0.05 and 4, not 0"),
        ({"min_pixels": 0}, "`min_pixels` must be at least 1, not 0"),
        ({"classes": ()}, "`classes` names no class"),
        ({"classes": ("car", "dragon")}, "dragon"),
        ({"classes": ("road",)}, "`classes` road: this class has no instances to find"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as refusal:
        DetectionOptions(**wrong)
    assert sentence in str(refusal.value)


def test_tracking_and_jobs_are_checked_too() -> None:
    with pytest.raises(UsageError, match="`min_track`"):
        TrackingOptions(min_track=0)
    with pytest.raises(UsageError, match=r"`formats` does not know 'yolo'; choose from cityscapes"):
        AnnotationJob(inputs=(HERE,), out=Path("labels"), formats=("coco", "yolo"))
    with pytest.raises(UsageError, match="`formats` names no format"):
        AnnotationJob(inputs=(HERE,), out=Path("labels"), formats=())
    with pytest.raises(UsageError, match="`batch_size`"):
        AnnotationJob(inputs=(HERE,), out=Path("labels"), batch_size=0)
    with pytest.raises(UsageError, match="nothing to label"):
        AnnotationJob(inputs=(), out=Path("labels"))


def test_class_ids_are_those_of_cityscapes() -> None:
    assert DetectionOptions(classes=("car", "person")).class_ids == (24, 26)
    assert DetectionOptions().class_ids is None


def test_every_option_is_in_the_help_with_its_default() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    for record in (AnnotationJob, DetectionOptions, TrackingOptions, CvatOptions):
        for name, spec in options_of(record).items():
            assert spec.flag_of(name) in text
            assert spec.help.split("  [")[0].split(",")[0] in text
    assert "cityscapes,coco,cvat" in text


def test_no_two_records_share_an_option() -> None:
    names = [
        name
        for record in (AnnotationJob, DetectionOptions, TrackingOptions, CvatOptions)
        for name in options_of(record)
    ]
    assert len(names) == len(set(names))


def test_options_come_back_from_the_command_line_as_the_record() -> None:
    made = []

    @click.command()
    @options_from(AnnotationJob, DetectionOptions, TrackingOptions, CvatOptions)
    def collect(**values: Any) -> None:
        made.append(
            build(
                AnnotationJob,
                values,
                inputs=(HERE,),
                detection=build(DetectionOptions, values),
                tracking=build(TrackingOptions, values),
                publishing=build(CvatOptions, values),
            )
        )

    line = "--out labels --format coco,mots --weights own.safetensors --device cpu --batch-size 2 --overwrite"
    line += " --classes person,car,person --every 5 --start 10 --end 50 --scale 0.5 --precision bf16 --runtime torch"
    line += " --seed-threshold 0.8 --min-score 0.4 --min-pixels 64 --quality best --fill-every"
    line += " --no-track --poly-iou 0.9 --max-vertices 20 --holes mask"
    line += " --keyframe-iou 0.8 --split-frames 500"
    for arguments in (line, "--out labels"):
        assert CliRunner().invoke(collect, arguments.split()).exit_code == 0
    detection = DetectionOptions(
        classes=("person", "car"),
        every=5,
        fill_every=True,
        start=10,
        end=50,
        quality="best",
        scale=0.5,
        precision="bf16",
        runtime="torch",
        seed_threshold=0.8,
        min_score=0.4,
        min_pixels=64,
    )
    asked = AnnotationJob(
        (HERE,),
        Path("labels"),
        ("coco", "mots"),
        Path("own.safetensors"),
        "cpu",
        2,
        detection,
        TrackingOptions(enabled=False),
        CvatOptions(0.9, 20, "mask", 0.8, 500),
        overwrite=True,
    )
    assert made == [asked, AnnotationJob((HERE,), Path("labels"))]


def test_the_formats_on_offer_are_those_that_can_be_written() -> None:
    from annotator.formats.registry import WRITABLE

    assert [*FORMATS, "frames"] == [*WRITABLE]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            "a: is there already; use `overwrite`, or another `out`",
            "a: is there already; use --overwrite, or another --out",
        ),
        ("which `min_track` 1 or `enabled=False` keeps", "which --min-track 1 or --no-track keeps"),
        ("`formats` names no format", "--format names no format"),
        ("make one with `spatialemb-quantize`", "make one with `spatialemb-quantize`"),
        ("`ls`.mp4: no frames", "`ls`.mp4: no frames"),
    ],
)
def test_options_that_the_library_names_are_shown_as_flags(told: str, shown: str) -> None:
    assert with_flags(told) == shown
