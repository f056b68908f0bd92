"""Which frames a task of CVAT has, or several that a recording is split into."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from annotator.formats.cvat.elements import whole_of
from annotator.formats.cvat.xml_stream import step_of
from annotator.limits import require_frame_size, require_frames


@dataclass
class TaskFrames:
    """The frames of a video, by what the <meta> of its files says."""

    every: range = range(0)  # in all files so far
    before: range = range(0)  # those of the files before
    own: range = range(0)  # those of the file at hand
    jobs: list[range] = field(default_factory=list)  # frames of each in the file at hand
    size: tuple[int, int] = (0, 0)  # (H, W)
    is_known: bool = False  # a <meta> was there
    is_export: bool = False  # of CVAT, which lists every frame of a track

    def begin_file(self) -> None:
        """Another file follows."""
        self.before, self.own, self.jobs = self.every, range(0), []

    def add(self, meta: Element) -> None:
        """Learn the frames of a file and their size. Raises ValueError."""
        tasks = len(meta.findall(".//task"))
        if tasks > 1:
            raise ValueError(f"it is of {tasks} tasks; export them one by one")
        self.is_known = True
        self.is_export = meta.find("dumped") is not None
        original = meta.find(".//original_size")
        if original is not None:
            size = (whole_of(original, "height"), whole_of(original, "width"))
            if any(size):  # a recording without frames has none
                require_frame_size(*size)
            if self.before and size != self.size:
                raise ValueError(
                    f"its frames are {size[1]}x{size[0]}, those before {self.size[1]}x{self.size[0]}"
                )
            self.size = size
        if meta.findtext(".//mode") == "interpolation" and whole_of(meta, ".//size"):
            step = step_of(meta)
            frames = range(whole_of(meta, ".//start_frame"), whole_of(meta, ".//stop_frame") + 1, step)
            self.own = frames
            self.every = _continued(self.before, frames) if self.before else frames
            require_frames(self.every.stop)
            places = sorted(
                (whole_of(job, "start"), whole_of(job, "stop")) for job in meta.iterfind(".//segment")
            )
            jobs = (frames[start : stop + 1] for start, stop in places)
            self.jobs = [job for job in jobs if job]


def _continued(before: range, frames: range) -> range:
    """The frames of several files. Raises ValueError where some are missing between them."""
    if frames.step != before.step or (frames.start - before.start) % before.step:
        raise ValueError(f"its frames are not those of a step of {before.step} that files before have")
    if not before.start <= frames.start <= before[-1] + before.step:
        raise ValueError(f"it begins with frame {frames.start}, and the files before end with {before[-1]}")
    return range(before.start, max(before[-1], frames[-1]) + 1, before.step)
