"""Which recordings are behind the paths that a user gives, and what they are called."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from annotator.errors import SourceError, UsageError
from annotator.store.fingerprint import content_hash
from annotator.video.media import Media, media_of
from annotator.video.sources import _unique_names, find, find_sources, safe_name
from tests.helpers.permissions import unreadable


def tree(root: Path, *files: str) -> Path:
    """Files without content: finding must not read them. A name that ends in "/" is a folder."""
    for name in files:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def found(*inputs: Path) -> dict[str, str]:
    """Names of the sources and what they are of, in order."""
    return {source.name: source.path.name for source in find_sources(inputs)}


def find_names(*inputs: Path) -> list[str]:
    return [source.name for source in find_sources(inputs)]


def test_a_file_is_a_video_named_by_its_stem(tmp_path: Path) -> None:
    [source] = find_sources([tree(tmp_path, "2024.05.01 dusk.mp4") / "2024.05.01 dusk.mp4"])
    assert source.name == "2024.05.01 dusk"
    assert source.is_video
    assert source.files == (source.path,)


def test_a_file_of_any_other_kind_is_tried_as_a_video(tmp_path: Path) -> None:
    [source] = find_sources([tree(tmp_path, "drive.dav") / "drive.dav"])
    assert source.is_video


def test_an_image_is_a_source_of_one_image(tmp_path: Path) -> None:
    [source] = find_sources([tree(tmp_path, "a.JPG", "b.jpg") / "a.JPG"])
    assert (source.name, source.is_video, source.length_hint()) == ("a", False, 1)


def test_a_folder_with_images_is_one_source(tmp_path: Path) -> None:
    folder = tree(tmp_path / "aachen", "1.png", "2.png", "below/3.png")
    [source] = find_sources([folder])
    assert (source.name, source.is_video, source.length_hint()) == ("aachen", False, 2)


def test_a_folder_with_images_and_videos_is_both(tmp_path: Path) -> None:
    assert found(tree(tmp_path / "day", "1.png", "b.mp4", "a.avi")) == {
        "day": "day",
        "a": "a.avi",
        "b": "b.mp4",
    }


def test_a_tree_is_walked_in_natural_order(tmp_path: Path) -> None:
    tree(
        tmp_path,
        *("cityA/drive10.mp4", "cityA/drive2.MP4", "cityB/seq/1.png", "cityB/seq/2.png", "cityB/clip.mkv"),
        *("notes.txt", "top.mov", "empty/"),
    )
    assert list(found(tmp_path).items()) == [
        ("top", "top.mov"),
        ("cityA/drive2", "drive2.MP4"),
        ("cityA/drive10", "drive10.mp4"),
        ("cityB/clip", "clip.mkv"),
        ("cityB/seq", "seq"),
    ]


def test_below_images_the_walk_goes_on(tmp_path: Path) -> None:
    tree(tmp_path, "a/1.png", "a/b/1.png", "a/b.mp4")
    assert set(find_names(tmp_path)) == {"a_images", "a/b", "a/b_images"}


def test_what_systems_leave_behind_is_ignored(tmp_path: Path) -> None:
    tree(
        tmp_path, "__MACOSX/drive.mp4", ".Trash/drive.mp4", "@eaDir/x.jpg", "day/._drive.mp4", "day/drive.mp4"
    )
    assert find_names(tmp_path) == ["day/drive"]


def test_labels_of_an_earlier_run_are_no_recordings(tmp_path: Path) -> None:
    tree(tmp_path, "drive.mp4", "labels/drive/labels.sqlite", "labels/drive/cityscapes/a_instanceIds.png")
    assert find_names(tmp_path) == ["drive"]


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.mp4: isn't there; check the path"):
        find_sources([tree(tmp_path, "drive.mp4") / "drive.mp4", tmp_path / "nowhere.mp4"])


def test_a_pipe_is_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: is neither a file nor a folder"):
        find_sources([tmp_path / "pipe"])


def test_a_tree_with_nothing_in_it_says_so_when_it_is_read(tmp_path: Path) -> None:
    tree(tmp_path, "empty/notes.txt", "drive.mp4")
    empty, drive = find_sources([tmp_path / "empty", tmp_path / "drive.mp4"])
    assert (empty.name, drive.name) == ("empty", "drive")
    with pytest.raises(SourceError, match="empty: holds no videos and no images"):
        next(empty.frames())


def test_a_folder_that_may_not_be_read_says_so_when_it_is_read(tmp_path: Path) -> None:
    tree(tmp_path, "a/closed/drive.mp4", "a/open/drive.mp4")
    with unreadable(tmp_path / "a" / "closed"):
        closed, opened = find_sources([tmp_path / "a"])
        assert (closed.name, opened.name) == ("closed", "open/drive")
        with pytest.raises(SourceError, match="closed: can't be read"):
            next(closed.frames())


def test_an_input_that_may_not_be_looked_at_is_told(tmp_path: Path) -> None:
    tree(tmp_path, "closed/drive.mp4")
    with unreadable(tmp_path / "closed"):
        with pytest.raises(UsageError, match="can't be looked at"):
            find_sources([tmp_path / "closed" / "drive.mp4"])
        [source] = find_sources([tmp_path / "closed"])
        with pytest.raises(SourceError, match="can't be read"):
            assert source.files


@pytest.mark.parametrize("name", ["drive.mp4", "frame.png", "a disk", "out.gif"])
@pytest.mark.parametrize("to", ["gone", "itself"])
def test_links_that_lead_nowhere_hide_nothing_and_are_told_when_they_are_read(
    tmp_path: Path, name: str, to: str
) -> None:
    tree(tmp_path, "day/near.mp4", "day/notes.txt")
    (tmp_path / "day" / name).symlink_to(name if to == "itself" else "gone")
    sources = {source.name: source for source in find_sources([tmp_path / "day"])}
    assert "near" in sources
    del sources["near"]
    [odd] = sources.values()
    with pytest.raises(SourceError, match=r"can't be read|leads nowhere"):
        list(odd.frames())


def test_an_input_that_is_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "drive.mp4").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="leads nowhere"):
        find_sources([tmp_path / "drive.mp4"])


@pytest.mark.parametrize("name", ["drive.mp4", "frame.png"])
def test_a_pipe_among_recordings_is_told_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    [source] = find_sources([tmp_path])
    content_hash(source.files)
    with pytest.raises(SourceError, match=r"no file|not a file"):
        list(source.frames())


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path, "disk/far.mp4", "day/near.mp4")
    (tmp_path / "day" / "disk").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "day")
    (tmp_path / "day" / "self").symlink_to(tmp_path / "day")
    assert find_names(tmp_path / "day") == ["near", "disk/far"]


def test_the_same_recording_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "day/drive.mp4")
    (tmp_path / "day" / "latest.mp4").symlink_to(tmp_path / "day" / "drive.mp4")
    monkeypatch.chdir(tmp_path)
    assert find_names(tmp_path / "day", Path("day/drive.mp4"), Path("day/../day/drive.mp4")) == ["drive"]
    assert (
        find_names(Path("day/drive.mp4"), tmp_path)
        == find_names(tmp_path, Path("day/drive.mp4"))
        == ["day/drive"]
    )


def test_the_folder_we_are_in_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree(tmp_path / "aachen", "1.png"))
    assert find_names(Path(".")) == ["aachen"]


# -- names that collide ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["drive.mp4", "drive.avi"], ["drive", "drive_avi"]),
        (["drive.mp4", "DRIVE.MKV"], ["drive", "DRIVE_mkv"]),
        (["drive.mp4", "drive/1.png"], ["drive", "drive_images"]),
        (["a/drive.mp4", "b/drive.mp4"], ["drive", "drive_b"]),
        (["a/drive.mp4", "b/drive.mp4", "c/drive.avi"], ["drive", "drive_b", "drive_avi"]),
        (["a/drive.mp4", "b/x/drive.mp4", "c/x/drive.mp4", "d/x/drive.mp4"], None),
        (["drive.mp4", "drive.avi", "drive_avi.mp4"], None),
        (["run.json.mp4"], ["run.json_mp4"]),
    ],
)
def test_equal_names_are_told_apart_in_any_order(
    tmp_path: Path, files: list[str], names: list[str] | None
) -> None:
    tree(tmp_path, *files)
    inputs = [tmp_path / (Path(name).parent if name.endswith("png") else name) for name in files]
    first = {source.path: source.name for source in find_sources(inputs)}
    assert len({name.casefold() for name in first.values()}) == len(files)
    if names is not None:
        assert [first[path] for path in inputs] == names
    for order in permutations(inputs):
        assert {source.path: source.name for source in find_sources(order)} == first


def test_a_name_that_another_file_has_anyway_stays_with_it(tmp_path: Path) -> None:
    tree(tmp_path, "drive.mp4", "drive.avi", "drive_avi.mp4")
    names = {path: name for name, path in found(tmp_path).items()}
    assert names["drive.mp4"] == "drive"
    assert names["drive_avi.mp4"] == "drive_avi"
    assert names["drive.avi"] not in ("drive", "drive_avi")


def test_no_source_lies_in_the_folder_of_another(tmp_path: Path) -> None:
    tree(tmp_path, "drive.mp4", "drive/part1.mp4", "drive/cityscapes/1.png")
    assert set(find_names(tmp_path)) == {"drive_mp4", "drive/part1", "drive/cityscapes"}


def test_names_lead_nowhere_but_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a/..mp4", "b/ .mp4", "c/a:b?.mp4", "d/x\ny.mp4", "e/..hidden.mp4", "f/dot..mp4")
    inputs = sorted(tmp_path.glob("*/*")) + sorted(tmp_path.glob("a/.*"))
    for name in find_names(*inputs):
        assert not PurePosixPath(name).is_absolute()
        assert not {"..", ".", ""} & set(name.split("/"))
        assert not any(char in name for char in ':?\n\\*"<>|')


@given(
    st.lists(st.tuples(st.text(max_size=6), st.sampled_from([".mp4", ".avi", ""])), max_size=8, unique=True)
)
def test_any_wishes_become_safe_and_distinct_names(wishes: list[tuple[str, str]]) -> None:
    recordings = [(Path(f"/data/{k}/video{suffix}"), wish) for k, (wish, suffix) in enumerate(wishes)]
    names = _unique_names(recordings)
    parts = [tuple(PurePosixPath(name.casefold()).parts) for name in names]
    for k, own in enumerate(parts):
        assert own
        assert not {"..", ".", "/"} & set(own)
        assert names[k] == safe_name(names[k])
        others = parts[:k] + parts[k + 1 :]
        assert not any(other[: len(own)] == own for other in others), "equal, or a folder of another"


# ---- what a file is


CONTENTS = {
    Media.IMAGE: {
        "JPEG": b"\xff\xd8\xff\xe0",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "TIFF": b"II*\0",
        "WebP": b"RIFF1234WEBPVP8 ",
        "AVIF": b"\0\0\0\x20ftypavif",
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
        "PGM": b"P5\n# by a camera\n640 480\n255\n",
    },
    Media.VIDEO: {
        "MP4": b"\0\0\0\x20ftypisom",
        "MOV": b"\0\0\0\x08wide",
        "Matroska": b"\x1a\x45\xdf\xa3",
        "AVI": b"RIFF1234AVI LIST",
        "transport stream": (b"G" + bytes(187)) * 3,
        "m2ts": (bytes(4) + b"G" + bytes(187)) * 3,
        "program stream": b"\0\0\x01\xba",
        "Dahua": b"DHAV\xfd",
        "H.264": b"\0\0\0\x01\x67",
    },
    Media.UNREAD: {"Photoshop": b"8BPS", "JPEG XL": b"\xff\x0a", "Canon": b"\0\0\0\x18ftypcrx "},
    Media.OTHER: {
        "text": b"P 5 is a road",
        "WAV": b"RIFF1234WAVEfmt ",
        "audio": b"\0\0\0\x20ftypM4A ",
        "zeros": bytes(512),
        "nothing": b"",
        "program": b"\x7fELF",
        "zip": b"PK\x03\x04",
    },
}


@pytest.mark.parametrize(
    ("content", "media"),
    [
        pytest.param(start, media, id=name)
        for media, kinds in CONTENTS.items()
        for name, start in kinds.items()
    ],
)
@pytest.mark.parametrize("name", ["recording", "recording.0001"])
def test_what_the_name_does_not_tell_the_first_bytes_do(
    tmp_path: Path, name: str, content: bytes, media: Media
) -> None:
    (tmp_path / name).write_bytes(content)
    assert media_of(tmp_path / name) is media


@pytest.mark.parametrize("count", [1, 3])
def test_a_gif_is_a_video_if_it_moves(tmp_path: Path, count: int) -> None:
    pictures = [Image.new("RGB", (16, 16), (90 * k, 0, 0)) for k in range(count)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    (tmp_path / "b").write_bytes((tmp_path / "a.gif").read_bytes())
    for name in "a.gif", "b":
        assert media_of(tmp_path / name) is (Media.VIDEO if count > 1 else Media.IMAGE)


def test_pictures_that_nothing_reads_are_counted_and_other_files_are_not(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "a/1.png",
        "a/2.CR2",
        "a/3.dng",
        "a/1.json",
        "a/1.thm",
        "a/.4.dng",
        "b/5.nef",
        "b/c.mp4",
        "notes",
    )
    findings = find([tmp_path])
    assert [source.name for source in findings.sources] == ["a", "b/c"]
    assert [path.name for path in findings.passed_over] == ["2.CR2", "3.dng", "5.nef"]


def test_folders_below_images_that_are_passed_over_are_told_unless_they_are_given_too(tmp_path: Path) -> None:
    tree(tmp_path, "cover.jpg", "day/1.mp4", "night/1.png", "notes/a.txt", "clip.mp4")
    assert [path.name for path in find([tmp_path]).passed_over] == ["day", "night"]
    assert [path.name for path in find([tmp_path, tmp_path / "night"]).passed_over] == ["day"]


def test_finding_sources_waits_for_neither_torch_nor_ffmpeg() -> None:
    code = (
        "import sys, annotator.video.sources, annotator.video; "
        "print([name for name in ('torch', 'av', 'cv2', 'PIL') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
