"""A real S3 server (moto's) on loopback, which can be told to fail, to be late, or to be slow."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
KEY = "AKIAIOSFODNN7EXAMPLE"


class Trouble:
    """Injects faults into every N-th request: "500", "late" (beyond the client's patience), or "slow"."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.every: dict[str, int] = {}
        self.is_down = False
        self.counts: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        number = len(self.requests)
        due = {name for name, every in self.every.items() if number % every == 0}
        self.counts.update(due)
        if self.is_down or "500" in due:
            start("500 Internal Server Error", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return []
        if "late" in due:
            time.sleep(1.5)
        if "slow" in due:
            time.sleep(0.2)
        return self._app(environ, start)


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trouble]:
    """A server with the bucket "fleet", which the storage of this process talks to."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    pytest.importorskip("moto", reason="moto is not installed")
    import fsspec
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    trouble = Trouble(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, trouble, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")  # for processes that begin now
    monkeypatch.setitem(
        fsspec.config.conf,
        "s3",
        {
            "endpoint_url": f"http://127.0.0.1:{server.port}",
            "config_kwargs": {"connect_timeout": 1, "read_timeout": 1, "retries": {"max_attempts": 1}},
            "skip_instance_cache": True,
        },
    )
    s3_backends[DEFAULT_ACCOUNT_ID]["global"].reset()
    fsspec.filesystem("s3").mkdir("fleet")
    trouble.requests.clear()
    try:
        yield trouble
    finally:
        server.shutdown()
