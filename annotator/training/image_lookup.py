"""Where the pixels of labelled frames are: image files beside the labels, or frames of a video, made files once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import cv2

from annotator.errors import SourceError, UsageError
from annotator.escape import encodable
from annotator.files import atomic_file, find_files
from annotator.formats.label_set import RecordingLabels
from annotator.formats.pairing import FrameNames, by_name
from annotator.formats.run.format import RUN
from annotator.frames import Frame, FrameRef
from annotator.store import RunFolder
from annotator.video import Source, find_sources
from annotator.video.image_folder import natural
from annotator.video.media import is_image

JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)


def frame_files(
    labels: RecordingLabels, refs: Sequence[FrameRef], images: Path | None, kept: Path
) -> list[Path]:
    """The file of every frame of `labels`, in order; `refs` are all of them.

    `images` is a folder of images, however deep, or a video; None: looked for where such labels have them.
    Frames of a video are written below `kept` as JPEG, unless they are there. Raises UsageError, OutputError.
    """
    where = images or _beside(labels)
    if not where.exists():
        raise UsageError(f"{where}: is not there; name the images of {labels.path}")
    if any(ref.name for ref in refs):
        return _by_name(labels, where)
    source = _only_source(where, labels)
    path = hashlib.sha256(os.path.abspath(source.path).encode(errors="surrogateescape")).hexdigest()
    return _of_video(
        source, refs, kept / f"{labels.name}-{path[:12]}"
    )  # others may be called as these labels


def _beside(labels: RecordingLabels) -> Path:
    """Where labels of this kind have their images."""
    if labels.format is RUN:
        return _source_of_run(labels)
    if labels.format.is_cityscapes:
        parts = labels.path.absolute().parts
        if "gtFine" in parts:
            at = len(parts) - 1 - parts[::-1].index("gtFine")
            return Path(*parts[:at], "leftImg8bit", *parts[at + 1 :])
        if (labels.path / "leftImg8bit").is_dir():
            return labels.path / "leftImg8bit"
        return labels.path
    if labels.path.is_dir():  # of labels that have an image each
        there = Path(*("images" if part == "labels" else part for part in labels.path.absolute().parts))
        return there if there.is_dir() else labels.path
    folder = labels.path.parent
    return folder / "images" if (folder / "images").is_dir() else folder


def _source_of_run(labels: RecordingLabels) -> Path:
    record = RunFolder.open(labels.path).records.get(labels.name)
    if record:
        return Path(record.path)
    raise UsageError(f"{labels.path}: its run.json doesn't say what was labelled; name the images")


# ---- image files


def _by_name(labels: RecordingLabels, folder: Path) -> list[Path]:
    folder = folder if folder.is_dir() else folder.parent  # of the only image
    files = [
        file
        for file in sorted(find_files(folder, "*"), key=natural)
        if is_image(file) and not file.name.endswith("_color.png")  # pictures of Cityscapes labels
    ]
    ours = labels.frame_names()
    found = by_name(ours, FrameNames(([encodable(file.relative_to(folder).as_posix()) for file in files],)))
    file_of = {i: files[j] for i, j in found}
    missing = [name for i, name in enumerate(ours.names[0]) if i not in file_of]
    if missing:
        raise UsageError(
            f"{labels.path}: {len(missing)} of the images, {missing[0]} first, are not in {folder};"
            " name the folder that has them"
        )
    return [file_of[i] for i in range(len(ours))]


# ---- frames of a video


def _only_source(where: Path, labels: RecordingLabels) -> Source:
    try:
        sources = find_sources([where])
    except SourceError as error:
        raise UsageError(str(error)) from error
    fitting = [source for source in sources if source.name == labels.name] or sources
    if len(fitting) != 1:
        raise UsageError(f"{where}: holds {len(sources)} recordings, none called {labels.name}; name the one")
    return fitting[0]


def _of_video(source: Source, refs: Sequence[FrameRef], folder: Path) -> list[Path]:
    files = {ref.index: folder / f"{ref.index:06}.jpg" for ref in refs}
    lacking = {index for index, file in files.items() if not file.exists()}
    if lacking:
        with closing(_frames(source, max(lacking))) as frames:
            for frame in frames:
                if frame.ref.index in lacking:
                    _save(frame, files[frame.ref.index])
                    lacking.remove(frame.ref.index)
    if lacking:
        raise UsageError(f"{source.path}: has no frame {min(lacking)}, which the labels have: another video?")
    return [files[ref.index] for ref in refs]


def _frames(source: Source, last: int) -> Generator[Frame, None, None]:
    try:
        yield from source.frames(end=last + 1)
    except SourceError as error:
        raise UsageError(str(error)) from error


def _save(frame: Frame, file: Path) -> None:
    _, content = cv2.imencode(".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), JPEG)
    with atomic_file(file) as temporary:
        temporary.write_bytes(content.tobytes())
