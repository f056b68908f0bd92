"""The GPU data loader: a source as batches on the device, read and copied while the network works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from queue import Empty, Queue, SimpleQueue
from types import TracebackType

import numpy as np
import torch

from annotator.frames import Frame, FrameRef, Gap
from annotator.video.sources import Source


@dataclass(frozen=True)
class Batch:
    """B frames of equal size, on the device."""

    refs: tuple[FrameRef, ...]  # B
    images: torch.Tensor = field(repr=False)  # (B, 3, H, W) uint8 RGB, channels last in memory

    def __len__(self) -> int:
        return len(self.refs)


class Loader:
    """Batches of a source's frames, in order; a thread reads ahead, and ends when the loader is closed.

        with Loader(source, device, batch_size=8) as batches:
            for batch in batches: ...

    A batch never mixes sizes: where the size changes, a smaller one is given out. With a CUDA device, batches
    go through pinned memory and a stream of their own, so that copying and computing overlap. At most
    `prefetch` batches are held ahead of the one in use. What the source raises comes out of the loop, after
    the frames before it. `take_gaps` has every gap no later than the frames behind it come out.
    """

    def __init__(
        self,
        source: Source,
        device: torch.device | str = "cpu",
        batch_size: int = 1,
        start: int = 0,
        end: int | None = None,
        every: int = 1,
        prefetch: int = 2,
    ) -> None:
        if batch_size < 1 or prefetch < 1:
            raise ValueError(f"no loader has batches of {batch_size} and holds {prefetch} of them")
        self.device = torch.device(device)
        self._batch_size = batch_size
        self._is_stopped = threading.Event()
        # `prefetch` slots: one is taken before a batch is begun, and given back when it is handed out.
        self._slots = threading.Semaphore(prefetch)
        self._queue: Queue[_Copied | _End] = Queue()
        self._stream = _stream(self.device)
        self._items = source.read(start, end, every, self._is_stopped.is_set)
        self._gaps: SimpleQueue[Gap] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Batch]:
        """The batches that are left."""
        if self._thread is None and not self._is_over:
            self._thread = threading.Thread(target=self._read, name="loader", daemon=True)
            self._thread.start()
        while not self._is_over:
            item = self._queue.get()
            if isinstance(item, _End):
                self.close()
                if item.error is not None:
                    raise item.error
                return
            self._slots.release()
            yield item.batch_for(self.device)

    def close(self) -> None:
        """Stop reading, and wait for the thread to end. Closing twice does no harm."""
        self._is_over = True
        self._is_stopped.set()
        self._slots.release()  # wakes the thread if it waits for room
        if self._thread is not None:
            self._thread.join()
        while True:  # what was read ahead is let go
            try:
                self._queue.get_nowait()
            except Empty:
                return

    def take_gaps(self) -> list[Gap]:
        """The gaps that were met since this was last asked."""
        return [self._gaps.get() for _ in range(self._gaps.qsize())]

    def _read(self) -> None:
        """The thread: frames into batches onto the device, and an end in any case."""
        error: BaseException | None = None
        try:
            with closing(self._items):
                for batch in self._batches():
                    self._queue.put(batch)
        except BaseException as raised:
            error = raised
        finally:
            self._queue.put(_End(error))

    def _batches(self) -> Iterator[_Copied]:
        """Frames put together while their size stays the same."""
        pending: _Pending | None = None
        try:
            for frame in self._items:
                if isinstance(frame, Gap):
                    self._gaps.put(frame)
                    continue
                if pending is not None and frame.ref.size != pending.size:
                    yield self._copied(pending)
                    pending = None
                if pending is None:
                    self._slots.acquire()
                    pending = _Pending(frame.ref.size, self._batch_size, self.device)
                if self._is_stopped.is_set():
                    return
                pending.add(frame)
                if pending.is_full:
                    yield self._copied(pending)
                    pending = None
        except Exception:
            if pending is not None:
                yield self._copied(pending)  # the frames before the fault are sound
            raise
        if pending is not None:
            yield self._copied(pending)

    def _copied(self, pending: _Pending) -> _Copied:
        """A batch on its way to the device."""
        images = pending.images()
        if self._stream is None:
            return _Copied(pending.refs, images.to(self.device), None)
        with torch.cuda.stream(self._stream):
            # The pinned memory isn't used again before this copy is done: torch's allocator sees to that.
            return _Copied(
                pending.refs, images.to(self.device, non_blocking=True), self._stream.record_event()
            )


def _stream(device: torch.device) -> torch.cuda.Stream | None:
    """A stream for copies beside the one that computes; None where there are no streams."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None


class _Pending:
    """Frames of one size on their way into a batch, side by side in one piece of memory."""

    def __init__(self, size: tuple[int, int], capacity: int, device: torch.device) -> None:
        self.size = size
        self._refs: list[FrameRef] = []
        self._pixels = torch.empty((capacity, *size, 3), dtype=torch.uint8, pin_memory=device.type == "cuda")

    @property
    def is_full(self) -> bool:
        """Whether it has as many frames as a batch holds."""
        return len(self._refs) == len(self._pixels)

    def add(self, frame: Frame) -> None:
        """Copy a frame in; it is needed no more."""
        np.copyto(self._pixels[len(self._refs)].numpy(), frame.image)
        self._refs.append(frame.ref)

    @property
    def refs(self) -> tuple[FrameRef, ...]:
        """Which frames they are."""
        return tuple(self._refs)

    def images(self) -> torch.Tensor:
        """(B, 3, H, W) uint8, channels last in memory."""
        return self._pixels[: len(self._refs)].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Copied:
    """A batch that the device has, or will have when `arrived` has happened."""

    refs: tuple[FrameRef, ...]
    images: torch.Tensor
    arrived: torch.cuda.Event | None

    def batch_for(self, device: torch.device) -> Batch:
        """The batch, safe to use in the current stream."""
        if self.arrived is not None:
            stream = torch.cuda.current_stream(device)
            stream.wait_event(self.arrived)
            self.images.record_stream(
                stream
            )  # its memory isn't used again before this stream is done with it
        return Batch(self.refs, self.images)


@dataclass(frozen=True)
class _End:
    """There are no more batches: the source has ended, or failed."""

    error: BaseException | None
