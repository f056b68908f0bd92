"""A CVAT server: who we are there, and what goes wrong with it, in sentences that show no secret."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import responses
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import orjson

from annotator.cvat_server.secrets import Secret, one_line
from annotator.errors import AnnotatorError, NotFound, ServerError, ServerUnavailable, UsageError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from cvat_sdk.core.client import Client

TOKEN_VARIABLE = "CVAT_ACCESS_TOKEN"
SECONDS_BETWEEN_LOOKS = 2.0  # at what the server does in the background
TRIES = 4
FIRST_PAUSE = 1.0  # seconds; each further one is twice as long
NOT_FOUND = 404
BUSY = (408, 409, 425, 429)  # beside 5xx: may be better soon; 409: at work on what was sent
VIDEO_FORMAT, IMAGES_FORMAT = "CVAT for video 1.1", "CVAT for images 1.1"
GOES_ON = "the same command goes on where it stopped"
REFUSED = (401, 403)

Answer = TypeVar("Answer")


class Server:
    """A client that is logged in; use it in a `with`."""

    def __init__(self, url: str, client: Client, secret: Secret) -> None:
        self.url = url
        self.client = client
        self._secret = secret
        self._slugs: dict[int, str | None] = {}  # of organizations

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
        require_address(url)
        token = _token(url)
        quiet = logging.getLogger("annotator.cvat_server.sdk")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False  # what happens is told as events
        client = Client(
            url,
            logger=quiet,
            config=Config(status_check_period=SECONDS_BETWEEN_LOOKS),
            check_server_version=False,
        )
        server = cls(url, client, Secret(token))
        with server._unforeseen(), client:
            client.login(AccessTokenCredentials(token))
            server.ask(client.api_client.users_api.retrieve_self)
            yield server

    @contextmanager
    def _unforeseen(self) -> Iterator[None]:
        """Let faults that nobody foresaw pass, but none that shows the token: not even a traceback may have it."""
        try:
            yield
        except AnnotatorError:
            raise
        except Exception as error:
            if self._secret.is_in(error):
                raise ServerError(
                    f"{self.url}: unexpected fault ({type(error).__name__}: {self.safe(str(error))});"
                    " please report it"
                ) from None
            raise

    def enter(self, organization: int | None) -> None:
        """Do what comes next in an organization, or in none; one that the token may not see isn't entered."""
        if organization is not None and organization not in self._slugs:
            retrieve = self.client.api_client.organizations_api.retrieve
            try:
                found, _ = self.ask(retrieve, organization)
                self._slugs[organization] = found.slug
            except UsageError:
                self._slugs[organization] = None  # whoever was given a task of it may work on it all the same
            except NotFound:
                self._slugs[organization] = None
        self.client.organization_slug = None if organization is None else self._slugs[organization]

    def ask(self, question: Callable[..., Answer], *values: Any, **options: Any) -> Answer:
        """The answer to a question that may be asked again: so it is, when the server is busy or away."""
        pause = FIRST_PAUSE
        for _ in range(TRIES - 1):
            try:
                with self.faults():
                    return question(*values, **options)
            except ServerUnavailable as error:
                log.info("%s; asked again in %g s", error, pause)
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
            raise self._of_status(error.status or 0, _said(error)) from None
        except BackgroundRequestException as error:
            raise ServerError(f"{self.url}: refused what was sent ({self.safe(str(error))})") from None
        except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            reason = getattr(error, "reason", None) or error
            raise ServerUnavailable(
                f"{self.url}: does not answer ({self.safe(str(reason))}); {GOES_ON}"
            ) from None
        except CvatSdkException as error:  # of an upload, after tries of its own
            raise ServerUnavailable(
                f"{self.url}: does not take what is sent ({self.safe(str(error))}); {GOES_ON}"
            ) from None
        except (
            exceptions.OpenApiException,
            ArithmeticError,
            AssertionError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise ServerError(
                f"{self.url}: answered as no CVAT server known here does ({self.safe(str(error))});"
                " `url` takes its address without the path of a page"
            ) from None

    def _of_status(self, status: int, said: str) -> Exception:
        if status in REFUSED:
            return UsageError(
                f"{self.url}: the token was refused ({status}); make one in CVAT's profile page that may write,"
                f" and put it into {TOKEN_VARIABLE}"
            )
        sentence = f"{self.url}: answered {status} ({self.safe(said)})"
        if status in BUSY or status >= 500:
            return ServerUnavailable(f"{sentence}; {GOES_ON}")
        return NotFound(sentence) if status == NOT_FOUND else ServerError(sentence)

    def safe(self, text: str) -> str:
        """What the server said: in one line that a terminal shows, not too long, and never with the token in it."""
        return one_line(self._secret.hidden_in(text))

    def task(self, task_id: int) -> Any:
        """A task, in whose organization is done what comes next; None when it isn't there, or not for this token."""
        self.enter(None)
        try:
            found = self.ask(self.client.tasks.retrieve, task_id)
        except NotFound:
            return None
        self.enter(getattr(found, "organization", None))
        return found

    def export(self, remote: Any, path: Path) -> str:
        """Save what is annotated in a task, without its frames; the format."""
        from cvat_sdk.core.proxies.types import Location

        kind = VIDEO_FORMAT if remote.mode == "interpolation" else IMAGES_FORMAT

        def export() -> None:
            path.unlink(missing_ok=True)
            remote.export_dataset(kind, path, include_images=False, location=Location.LOCAL)

        self.ask(export)
        return kind

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


def require_address(url: str) -> None:
    """Raise UsageError for what is no address of a server; the address itself isn't shown, it may hold a secret."""
    try:
        address = urlsplit(url)
        is_server = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # as http://[::1
        is_server = False
    if not is_server or not url.isprintable() or " " in url:
        raise UsageError("`url` takes the address of a CVAT server, as https://app.cvat.ai")
    if "@" in address.netloc:
        raise UsageError(f"`url` must hold no password; put a token into {TOKEN_VARIABLE}")
    if address.query or address.fragment:
        raise UsageError("`url` takes the address of a CVAT server, without what follows ? or #")


def _token(url: str) -> str:
    """The token for a server, from the environment or from where CVAT's own command keeps it. Raises UsageError."""
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        return _sound(token, TOKEN_VARIABLE)
    token = _kept_token(url)
    if not token:
        raise UsageError(
            f"no token for {url}: put one into {TOKEN_VARIABLE} (CVAT's profile page makes them),"
            " or save one with cvat-cli profile"
        )
    return _sound(token, "the profile of cvat-cli")


def _kept_token(url: str) -> str:
    """The token that CVAT's own command keeps for a server, "" if there is none."""
    from cvat_sdk.core.auth import AuthStore
    from cvat_sdk.core.exceptions import AuthStoreError

    store = AuthStore()
    try:
        profiles = store.list_profiles().values()
    except AuthStoreError as error:
        raise UsageError(one_line(str(error))) from None
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):  # a file that is damaged, and has tokens in it
        raise UsageError(f"{store.path}: can't be read; save the token again with cvat-cli profile") from None
    tokens = [
        each.token
        for each in profiles
        if isinstance(each.server, str) and each.server.rstrip("/") == url.rstrip("/")
    ]
    return str(tokens[0]).strip() if tokens else ""


def _sound(token: str, place: str) -> str:
    """The token, if it can be sent at all. Raises UsageError, which doesn't show it: some of it may be right."""
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise UsageError(
        f"{place}: holds no token, which has neither spaces, line breaks nor letters beyond ASCII;"
        " copy it again from CVAT's profile page"
    )


def _said(error: Any) -> str:
    """What an answer says went wrong: not its HTML, which is a page of what stands before CVAT."""
    body, status = error.body, error.status or 0
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    if not text.strip() or "<html" in text.lower() or text.lstrip().startswith("<"):
        return str(error.reason or responses.get(status, "without a word"))
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return str(content["detail"]) if isinstance(content, dict) and "detail" in content else text
