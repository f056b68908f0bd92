"""A real SFTP server (paramiko's) on loopback, with a folder for its root; its connections can be broken."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "fleet", "correct horse battery"


class Connections:
    """Those that are open, and how many there have been."""

    def __init__(self) -> None:
        self.transports: list[Any] = []

    def break_all(self) -> None:
        """End them, as a server does that is begun again."""
        for transport in self.transports:
            transport.close()


@contextmanager
def sftp_server(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Connections]]:
    """The address of a server, and its connections; the password is in fsspec's configuration."""
    paramiko = pytest.importorskip("paramiko", reason="the extra sftp is not installed")
    import fsspec

    monkeypatch.setitem(fsspec.config.conf, "sftp", {"password": PASSWORD, "look_for_keys": False})
    key, connections = paramiko.ECDSAKey.generate(), Connections()
    files = _files(paramiko)

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):  # the socket is closed
            while True:
                connection, _ = listening.accept()
                transport = paramiko.Transport(connection)
                connections.transports.append(transport)
                transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, partial(files, root))
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_door(paramiko))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        try:
            yield f"sftp://{USER}@127.0.0.1:{listening.getsockname()[1]}", connections
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            connections.break_all()


def _door(paramiko: Any) -> Any:
    """Who may come in."""

    class Door(paramiko.ServerInterface):
        def check_auth_password(self, username: str, password: str) -> int:
            is_known = (username, password) == (USER, PASSWORD)
            return int(paramiko.AUTH_SUCCESSFUL if is_known else paramiko.AUTH_FAILED)

        def check_channel_request(self, kind: str, chanid: int) -> int:
            return int(paramiko.OPEN_SUCCEEDED)

    return Door()


def _files(paramiko: Any) -> Any:
    """What the server does with files below its root."""

    class Files(paramiko.SFTPServerInterface):
        def __init__(self, root: Path, server: Any, *more: Any, **others: Any) -> None:
            super().__init__(server, *more, **others)
            self.root = root

        def at(self, path: str) -> Path:
            return self.root / self.canonicalize(path).lstrip("/")

        def stat(self, path: str) -> Any:
            try:
                return paramiko.SFTPAttributes.from_stat(self.at(path).stat())
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        lstat = stat

        def list_folder(self, path: str) -> Any:
            try:
                inside = list(self.at(path).iterdir())
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)
            return [paramiko.SFTPAttributes.from_stat(each.stat(), filename=each.name) for each in inside]

        def open(self, path: str, flags: int, attributes: Any) -> Any:
            try:
                number = os.open(self.at(path), flags, 0o644)
                opened = os.fdopen(
                    number, "r+b" if flags & os.O_RDWR else "wb" if flags & os.O_WRONLY else "rb"
                )
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)
            handle = paramiko.SFTPHandle(flags)
            handle.filename, handle.readfile, handle.writefile = str(self.at(path)), opened, opened
            return handle

        def remove(self, path: str) -> int:
            return self._done(self.at(path).unlink)

        def mkdir(self, path: str, attributes: Any) -> int:
            return self._done(self.at(path).mkdir)

        def _done(self, act: Any) -> int:
            try:
                act()
            except OSError as error:
                return int(paramiko.SFTPServer.convert_errno(error.errno))
            return int(paramiko.SFTP_OK)

    return Files
