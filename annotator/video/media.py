"""Which files are images and which are videos: by their suffix, else by what they begin with."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from enum import Enum, auto
from functools import cache
from importlib.util import find_spec

# The usual ones first: of drive.mp4 and drive.avi it is the mp4 that is called "drive".
VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".mkv", ".avi", ".ts", ".m4v", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v"),
    *(".vob", ".wmv", ".asf", ".flv", ".3gp", ".ogv", ".mxf", ".y4m", ".h264", ".264", ".h265", ".265"),
    *(".hevc", ".mjpeg", ".mjpg", ".insv", ".dav", ".lrv", ".360", ".qt", ".f4v", ".divx", ".xvid", ".3g2"),
    *(".mp4v", ".m1v", ".mod", ".tod", ".dv", ".gxf", ".nut", ".ivf", ".obu", ".avc", ".mpv", ".rm", ".rmvb"),
)
IMAGE_SUFFIXES = frozenset(
    (
        *(
            ".png",
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".bmp",
            ".dib",
            ".tif",
            ".tiff",
            ".webp",
            ".avif",
            ".jp2",
        ),
        *(".j2k", ".j2c", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".insp"),
    )
)
APPLE_SUFFIXES = frozenset({".heic", ".heif", ".hif"})  # read where the package pillow-heif is
# Raw pictures of cameras and the like, which nothing here develops, and pixels without a header.
UNREAD_SUFFIXES = frozenset(
    (
        *(
            ".dng",
            ".cr2",
            ".cr3",
            ".crw",
            ".nef",
            ".nrw",
            ".arw",
            ".sr2",
            ".raf",
            ".orf",
            ".rw2",
            ".pef",
            ".srw",
        ),
        *(".gpr", ".psd", ".exr", ".hdr", ".jxl", ".braw", ".r3d", ".ari", ".yuv", ".nv12"),
    )
)
# What lies beside recordings; .thm is a small picture of a video.
OTHER_SUFFIXES = frozenset(
    (
        *(".txt", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".md", ".rst", ".yaml", ".yml", ".toml", ".ini"),
        *(".cfg", ".conf", ".log", ".srt", ".vtt", ".ass", ".sub", ".gpx", ".kml", ".nmea", ".fit", ".html"),
        *(
            ".pdf",
            ".doc",
            ".docx",
            ".xls",
            ".xlsx",
            ".odt",
            ".ods",
            ".zip",
            ".tar",
            ".gz",
            ".xz",
            ".bz2",
            ".7z",
        ),
        *(".rar", ".npy", ".npz", ".pkl", ".pt", ".pth", ".onnx", ".safetensors", ".h5", ".hdf5", ".parquet"),
        *(".sqlite", ".db", ".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".thm", ".py", ".sh"),
        *(
            ".ipynb",
            ".bag",
            ".mcap",
            ".pcd",
            ".ply",
            ".las",
            ".laz",
            ".lnk",
            ".url",
            ".md5",
            ".sha256",
            ".svg",
        ),
    )
)
HEAD = 512  # bytes that tell what a file is


class Media(Enum):
    """What a file holds, as far as its name or its first bytes tell."""

    IMAGE = auto()
    VIDEO = auto()
    UNREAD = auto()  # pictures that can't be read here
    OTHER = auto()


IMAGE_STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|II\*\0|MM\0\*|RIFF....WEBP|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"
    rb"|....ftypavi[fs]|P[1-6]\s(?:#[^\n]*\n|\s)*[1-9]\d{0,5}\s",
    re.DOTALL,
)
APPLE_STARTS = re.compile(rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
UNREAD_STARTS = re.compile(rb"8BPS|\x76\x2f\x31\x01|\xff\x0a|\0\0\0\x0cJXL |....ftypcrx ", re.DOTALL)
AUDIO_STARTS = re.compile(rb"....ftypM4[ABP]", re.DOTALL)
VIDEO_STARTS = re.compile(
    rb"....(?:ftyp|moov|mdat|wide|pnot)|\x1a\x45\xdf\xa3|RIFF....AVI |FLV\x01|\x30\x26\xb2\x75\x8e\x66\xcf\x11"
    rb"|\0\0\x01[\xba\xb3]|\0?\0\0\x01[\x09\x67\x27]|DHAV|IMKH|YUV4MPEG2 |\x06\x0e\x2b\x34"
    rb"|G.{187}G.{187}G|.{4}G.{191}G|OggS.{24}(?:\x80theora|fishead|BBCD)",
    re.DOTALL,
)


def media_of(path: str | os.PathLike[str]) -> Media:
    """What a file holds. Raises OSError when it has to be opened for that and can't be."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".gif":
        return Media.VIDEO if _moves(path) else Media.IMAGE
    if suffix in OTHER_SUFFIXES:
        return Media.OTHER
    return by_name(os.fspath(path)) or _by_start(path)


def entry_media(entry: os.DirEntry[str]) -> Media:
    """What an entry of a folder holds; hidden ones and folders are OTHER.

    What can't be looked at, as a link that leads nowhere, is what its name says, else a video: reading it says why.
    """
    if entry.name.startswith("."):
        return Media.OTHER
    try:
        if entry.is_dir():
            return Media.OTHER
        if entry.is_file():
            return media_of(entry.path)
        is_odd = entry.is_symlink()  # else a pipe, a socket or a device
    except OSError:
        is_odd = True
    return by_name(entry.name) or (Media.VIDEO if is_odd else Media.OTHER)


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a file counts as an image."""
    with suppress(OSError):
        is_file = os.path.isfile(path) and not os.path.basename(path).startswith(".")
        return is_file and media_of(path) is Media.IMAGE
    return False


def by_name(file_name: str) -> Media | None:
    """What a file of this name holds, None where the name doesn't tell."""
    suffix = os.path.splitext(file_name)[1].lower()
    if suffix in VIDEO_SUFFIXES:
        return Media.VIDEO
    if suffix in IMAGE_SUFFIXES:
        return Media.IMAGE
    if suffix in APPLE_SUFFIXES:
        return _of_apple()
    if suffix in UNREAD_SUFFIXES:
        return Media.UNREAD
    return Media.OTHER if suffix in OTHER_SUFFIXES else None


def _by_start(path: str | os.PathLike[str]) -> Media:
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"GIF8"):
        return Media.VIDEO if _moves(path) else Media.IMAGE
    if IMAGE_STARTS.match(head):
        return Media.IMAGE
    if APPLE_STARTS.match(head):
        return _of_apple()
    if UNREAD_STARTS.match(head):
        return Media.UNREAD
    return Media.VIDEO if VIDEO_STARTS.match(head) and not AUDIO_STARTS.match(head) else Media.OTHER


@cache
def _of_apple() -> Media:
    return Media.IMAGE if find_spec("pillow_heif") else Media.UNREAD


def _moves(path: str | os.PathLike[str]) -> bool:
    """Whether a GIF has more than one picture."""
    from PIL import Image

    try:
        with Image.open(path, formats=["GIF"]) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # damaged images make Pillow raise nearly anything; reading it will tell
        return False
