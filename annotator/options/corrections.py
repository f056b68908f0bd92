"""What can be asked of labels that are there: conversion, edits, and the way to CVAT and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from annotator.errors import UsageError
from annotator.labels import BY_ID
from annotator.options.evaluation import PAIRED_AS_NAMED, PairingOptions
from annotator.options.labelling import DEFAULT_CVAT, FORMATS, CvatOptions
from annotator.options.reading import AS_WRITTEN, ReadingOptions
from annotator.options.record import check, option

RUN_FOLDER = "run"  # as a format of a conversion: a folder that can be tracked, trained on and evaluated


@dataclass(frozen=True)
class ConversionJob:
    """What a conversion is asked to do."""

    source: Path  # labels of any kind
    to: str = field(
        metadata=option(
            f"What to make: {', '.join(FORMATS)}, or a {RUN_FOLDER} folder.", choices=(*FORMATS, RUN_FOLDER)
        )
    )
    out: Path = field(metadata=option("Folder for it; every recording gets a folder in it."))
    like: Path | None = field(
        default=None,
        metadata=option("Run that the labels are of: frames get its names and times; others are refused."),
    )
    overwrite: bool = field(default=False, metadata=option("Replace labels that are there already."))
    reading: ReadingOptions = AS_WRITTEN
    deleted: frozenset[int] = frozenset()  # indices of frames that are none any more, where labels can't tell
    publishing: CvatOptions = DEFAULT_CVAT
    pairing: PairingOptions = PAIRED_AS_NAMED  # of frames with those of `like`

    def __post_init__(self) -> None:
        check(self)
        if self.like is None and self.pairing != PAIRED_AS_NAMED:
            raise UsageError("`match` says how frames meet those of `like` RUN, which is lacking")


@dataclass(frozen=True)
class EditJob:
    """What is to be changed in a run, track by track, in this order; numbers are as they are at its turn."""

    run: Path  # with one recording, or a recording of it
    relabel: tuple[tuple[int, int], ...] = ()  # track, Cityscapes id
    split: tuple[tuple[int, int], ...] = ()  # track, first frame of the new one
    merge: tuple[tuple[int, ...], ...] = ()  # tracks; they get the number of the first
    delete: tuple[int, ...] = ()  # tracks, with their instances

    def __post_init__(self) -> None:
        for track, class_id in self.relabel:
            if not BY_ID[class_id].has_instances:
                name = BY_ID[class_id].name
                raise UsageError(
                    f"`relabel` {track}={name}: this class has no instances; `delete` removes a track"
                )
        if any(len(set(tracks)) < 2 for tracks in self.merge):
            raise UsageError("`merge` takes two tracks or more, as 3,7")


@dataclass(frozen=True)
class PushJob:
    """What is to be sent to a CVAT server."""

    run: Path
    url: str = field(metadata=option("Address of the CVAT server, as https://app.cvat.ai"))
    project: str | None = field(
        default=None,
        metadata=option(
            "Project for the tasks, by number or name; made when it isn't there  [default: none]"
        ),
    )
    segment_size: int | None = field(
        default=None, metadata=option("Frames of a job  [default: the whole recording]", minimum=1)
    )
    image_quality: int = field(
        default=95, metadata=option("Quality of the frames that people see.", minimum=0, maximum=100)
    )
    replace: bool = field(default=False, metadata=option("Send tracks again, over what people edited since."))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PullJob:
    """What is to be fetched from a CVAT server."""

    run: Path  # that was pushed
    url: str = field(metadata=option("Address of the CVAT server, as https://app.cvat.ai"))
    out: Path = field(metadata=option("Run folder for the corrected labels."))
    overwrite: bool = field(
        default=False, metadata=option("Fetch recordings again that are in the run folder already.")
    )
    reading: ReadingOptions = AS_WRITTEN

    def __post_init__(self) -> None:
        check(self)
