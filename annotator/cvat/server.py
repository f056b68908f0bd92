"""A CVAT server: who we are there, and what goes wrong with it, in sentences that show no secret."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import orjson

from annotator.errors import ServerError, UsageError

if TYPE_CHECKING:
    from cvat_sdk.core.client import Client

TOKEN_VARIABLE = "CVAT_ACCESS_TOKEN"
SECONDS_BETWEEN_LOOKS = 2.0  # at what the server does in the background
TRIES = 4
FIRST_PAUSE = 1.0  # seconds; each further one is twice as long
BUSY = (
    409,
    429,
    500,
    502,
    503,
    504,
)  # states of a server that may be better soon; 409: at work on what was sent
REFUSED = (401, 403)

Answer = TypeVar("Answer")


class Server:
    """A client that is logged in; use it in a `with`."""

    def __init__(self, url: str, client: Client, token: str) -> None:
        self.url = url
        self.client = client
        self._token = token

    @classmethod
    @contextmanager
    def connect(cls, url: str) -> Iterator[Server]:
        """Log in with the token of the environment, or of CVAT's own configuration.

        Raises UsageError without a token or when it is refused, ServerError when the server doesn't answer.
        """
        try:
            from cvat_sdk.core.client import AccessTokenCredentials, Client, Config
        except ImportError as error:
            raise UsageError(
                'this needs the package cvat-sdk: pip install "spatialemb-annotate[cvat]"'
            ) from error
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UsageError("--url takes the address of a CVAT server, as https://app.cvat.ai")
        if address.username or address.password:
            raise UsageError(f"--url must hold no password; put a token into {TOKEN_VARIABLE}")
        quiet = logging.getLogger("annotator.cvat.sdk")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False  # what happens is told as events
        client = Client(
            url,
            logger=quiet,
            config=Config(status_check_period=SECONDS_BETWEEN_LOOKS),
            check_server_version=False,
        )
        with client:
            server = cls(url, client, _token(url))
            client.login(AccessTokenCredentials(server._token))
            server.ask(client.api_client.users_api.retrieve_self)
            yield server

    def ask(self, question: Callable[..., Answer], *values: Any, **options: Any) -> Answer:
        """The answer to a question that may be asked again: so it is, when the server is busy or away."""
        pause = FIRST_PAUSE
        for _ in range(TRIES - 1):
            try:
                with self.faults():
                    return question(*values, **options)
            except ServerError as error:
                if not error.may_pass:
                    raise
            time.sleep(pause)
            pause *= 2
        with self.faults():
            return question(*values, **options)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Turn what goes wrong between us and the server into sentences."""
        import urllib3
        from cvat_sdk import exceptions
        from cvat_sdk.core.exceptions import BackgroundRequestException, CvatSdkException

        try:
            yield
        except exceptions.ApiException as error:
            raise self._of_status(error.status or 0, str(error.body or error.reason or "")) from None
        except BackgroundRequestException as error:
            raise ServerError(f"{self.url}: refused what was sent ({self._safe(str(error))})") from None
        except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            reason = getattr(error, "reason", None) or error
            raise ServerError(
                f"{self.url}: does not answer ({self._safe(str(reason))}); the same command goes on where it stopped",
                may_pass=True,
            ) from None
        except (CvatSdkException, exceptions.OpenApiException, AssertionError, KeyError) as error:
            raise ServerError(
                f"{self.url}: answered as no CVAT server known here does ({self._safe(str(error))})"
            ) from None

    def _of_status(self, status: int, said: str) -> Exception:
        if status in REFUSED:
            return UsageError(
                f"{self.url}: the token was refused ({status}); make one in CVAT's profile page that may write,"
                f" and put it into {TOKEN_VARIABLE}"
            )
        return ServerError(
            f"{self.url}: answered {status} ({self._safe(said)})",
            may_pass=status in BUSY,
            is_missing=status == 404,
        )

    def _safe(self, text: str) -> str:
        """What the server said: in one line, not too long, and never with the token in it."""
        line = " ".join(text.replace(self._token, "…").split())
        return line if len(line) <= 300 else line[:300] + "…"

    def has_annotations(self, task_id: int) -> bool:
        """Whether anything is annotated in a task."""
        content = orjson.loads(self.ask(lambda: b"".join(self._annotations(task_id))))
        return any(content.get(kind) for kind in ("tracks", "shapes", "tags"))

    def annotations_digest(self, task_id: int) -> str:
        """A hash of all annotations of a task: another one means that somebody edited them."""

        def digest() -> str:
            found = hashlib.sha256()
            for chunk in self._annotations(task_id):
                found.update(chunk)
            return found.hexdigest()

        return self.ask(digest)

    def _annotations(self, task_id: int) -> Iterator[bytes]:
        """The annotations of a task, JSON in pieces; to be asked for."""
        retrieve = self.client.api_client.tasks_api.retrieve_annotations
        _, response = retrieve(task_id, _parse_response=False)
        while chunk := response.read(1 << 16):
            yield chunk


def _token(url: str) -> str:
    """The token for a server, from the environment or from where CVAT's own command keeps it. Raises UsageError."""
    from cvat_sdk.core.auth import AuthStore
    from cvat_sdk.core.exceptions import AuthStoreError

    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        return token
    try:
        profiles = AuthStore().list_profiles().values()
    except AuthStoreError as error:
        raise UsageError(str(error)) from error
    for profile in profiles:
        if profile.server.rstrip("/") == url.rstrip("/"):
            return str(profile.token)
    raise UsageError(
        f"no token for {url}: put one into {TOKEN_VARIABLE} (CVAT's profile page makes them),"
        " or save one with cvat-cli profile"
    )
