"""What this machine has to label with, and what is wrong with it: for the first run, and for reports of faults."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

OK, NOTE, FAULT = "ok", "note", "fault"
LITTLE_MEMORY = 4.0  # GB: with less, take a smaller --batch-size
LITTLE_DISK = 2.0  # GB
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg")
NEEDED = ("h264", "mpeg4", "mjpeg")
ENCODER = "libx264"  # of previews


class Finding(NamedTuple):
    """What was found of one thing."""

    what: str
    state: str  # OK; NOTE: labelling goes without; FAULT: it does not
    detail: str

    @property
    def line(self) -> str:
        """In columns."""
        return f"{self.state:<5}  {self.what:<10}  {self.detail}"

    @property
    def is_fault(self) -> bool:
        """Whether nothing can be labelled."""
        return self.state == FAULT


def examine() -> list[Finding]:
    """Look at everything; what can't be looked at is a fault, and the others go on."""
    findings: list[Finding] = []
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "system": _system,
        "packages": _packages,
        "runtimes": _runtimes,
        "codecs": _codecs,
        "memory": _memory,
        "cache": _cache,
        "disk": _disk,
    }
    for what, look in looks.items():
        try:
            findings += look()
        except Exception as error:
            findings.append(
                Finding(what, FAULT, f"{type(error).__name__}: {error}; install spatialemb-annotate again")
            )
    return findings


def _system() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("system", OK, f"{platform.platform()}, {platform.machine()}, {cores} cores")


def _packages() -> Iterator[Finding]:
    from annotator.pipeline.run import versions

    yield Finding("packages", OK, ", ".join(f"{name} {version}" for name, version in versions().items()))


def _runtimes() -> Iterator[Finding]:
    import torch

    from annotator.detection.runtime import load_runtime
    from annotator.errors import AnnotatorError

    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    yield Finding(
        "GPU", OK if names else NOTE, ", ".join(names) or "none that PyTorch can use: labelling runs on CPUs"
    )
    try:
        runtime = load_runtime()
    except AnnotatorError as error:
        yield Finding("network", FAULT, f"{error}; install spatialemb-annotate again")
        return
    detail = f"the model in the package by {runtime.name} on {runtime.device}, precision {runtime.precision}"
    yield Finding("network", OK, detail)


def _codecs() -> Iterator[Finding]:
    import av

    there = av.codecs_available
    missing = [name for name in DECODERS if name not in there]
    state = FAULT if any(name in NEEDED for name in missing) else NOTE if missing else OK
    detail = f"FFmpeg {'.'.join(map(str, av.library_versions['libavcodec']))} (libavcodec) reads"
    detail += f" {', '.join(name for name in DECODERS if name in there)}"
    yield Finding("video", state, detail + (f"; not {', '.join(missing)}" if missing else ""))
    has_encoder = ENCODER in there
    detail = "can be drawn" if has_encoder else f"can't be drawn without {ENCODER}: install PyAV from PyPI"
    yield Finding("previews", OK if has_encoder else NOTE, detail)


def _memory() -> Iterator[Finding]:
    if not hasattr(os, "sysconf") or "SC_AVPHYS_PAGES" not in os.sysconf_names:
        yield Finding("memory", NOTE, "how much is free can't be told here")
        return
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = (os.sysconf(name) * page / 1e9 for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    free = max(free, _available() / 1e9)
    state, remedy = (
        (OK, "") if free >= LITTLE_MEMORY else (NOTE, "; if it runs out, use a smaller --batch-size")
    )
    yield Finding("memory", state, f"{total:.1f} GB, {free:.1f} GB free{remedy}")


def _available() -> float:
    """Bytes that Linux could free, 0 where it doesn't tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0)


def _cache() -> Iterator[Finding]:
    from annotator.detection.openvino_runtime import graph_folder

    folder = graph_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        detail = f"{folder}: can't be written ({error.strerror}); networks are compiled anew each time"
        yield Finding("cache", NOTE, detail)
        return
    yield Finding(
        "cache", OK, f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.0f} MB"
    )


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    state, remedy = (
        (OK, "") if free >= LITTLE_DISK else (NOTE, "; make room, or choose --out on another disk")
    )
    yield Finding("disk", state, f"{free:.1f} GB free where this was called{remedy}")
