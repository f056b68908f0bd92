"""Servers that are away or odd, addresses that are none, and tokens, which are never shown."""

from __future__ import annotations

import base64
import html
import json
import stat
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from annotator.cvat_server import server as module
from annotator.cvat_server.secrets import Secret
from cli import shell
from tests.helpers.commands import Run, assert_one_sentence
from tests.helpers.cvat_runs import keep_in_profile
from tests.helpers.fake_cvat import TOKEN, FakeCvat

pytest.importorskip("cvat_sdk", reason="the extra cvat is not installed")

pytest_plugins = ["tests.helpers.cvat_runs"]


def test_without_a_token_nothing_is_asked(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(module.TOKEN_VARIABLE)
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 2
    assert_one_sentence(answer, f"no token for {server.url}", module.TOKEN_VARIABLE, "cvat-cli profile")
    assert server.log == []


def test_the_token_may_be_in_cvats_own_configuration(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(module.TOKEN_VARIABLE)
    from cvat_sdk.core.auth import AuthStore

    store = AuthStore()
    keep_in_profile(server.url, TOKEN)
    assert cvat("push", run, "--url", server.url).returncode == 0
    store.path.chmod(stat.S_IRUSR | stat.S_IROTH)
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 2
    assert_one_sentence(answer, "permissions")


def test_a_token_that_is_refused_is_told_and_not_shown(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.TOKEN_VARIABLE, "wr0ng")
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 2
    assert_one_sentence(answer, "the token was refused (401)")
    assert "wr0ng" not in answer.stderr
    server.trouble = lambda method, path: 403 if method == "POST" else None
    monkeypatch.setenv(module.TOKEN_VARIABLE, TOKEN)
    assert "may write" in cvat("push", run, "--url", server.url).stderr


ODD = {
    "line break": "abc123\nX-Other: def456",
    "carriage return": "abc123\rdef456",
    "other letters": "abc123\u043a\u043b\u044e\u0447def456",
    "umlaut": "abc123\u00fcdef456",
    "invisible": "abc123\u200bdef456",
    "byte order mark": "\ufeffabc123def456",
    "no UTF-8": "abc123\udcffdef456",
    "space": "abc123 def456",
    "escape": "abc123\x1b[31mdef456",
    "assignment": "export TOKEN=abc123 def456",
}


@pytest.mark.parametrize("token", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["push", "pull"])
@pytest.mark.parametrize("place", ["environment", "profile"])
def test_what_is_no_token_is_neither_sent_nor_shown(
    pushed: Path,
    server: FakeCvat,
    cvat: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    token: str,
    place: str,
) -> None:
    monkeypatch.setenv(shell.DEBUG_VARIABLE, "1")
    monkeypatch.delenv(module.TOKEN_VARIABLE)
    if place == "environment":
        monkeypatch.setenv(module.TOKEN_VARIABLE, token)
    else:
        keep_in_profile(server.url, token)
    server.log.clear()
    out = ["--out", tmp_path / "back"] if name == "pull" else []
    answer = cvat(name, pushed, "--url", server.url, *out)
    assert answer.returncode == 2
    assert_one_sentence(answer, "holds no token", "copy it again from CVAT's profile page")
    assert server.log == []
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "auth.json"]
    said = [answer.stdout + answer.stderr, *(path.read_bytes().decode("latin-1") for path in written)]
    assert not any(part in text for text in said for part in ("abc123", "def456"))


def test_a_damaged_file_of_profiles_is_told_without_what_is_in_it(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cvat_sdk.core.auth import AuthStore

    monkeypatch.setenv(shell.DEBUG_VARIABLE, "1")
    monkeypatch.delenv(module.TOKEN_VARIABLE)
    keep_in_profile(server.url, TOKEN)
    for profiles in ([TOKEN], {"work": TOKEN}, {"work": {"token": TOKEN}}, {TOKEN: {"server": TOKEN}}, TOKEN):
        AuthStore().path.write_text(json.dumps({"version": 1, "profiles": profiles}))
        answer = cvat("push", run, "--url", server.url)
        assert answer.returncode == 2
        assert_one_sentence(answer, "auth.json: can't be read", "cvat-cli profile")
    AuthStore().path.write_bytes(b"\xff" + TOKEN.encode())
    assert_one_sentence(cvat("push", run, "--url", server.url), "auth.json")


@pytest.mark.parametrize("token", [TOKEN, "a/b+c=d%e", "q\"u'o\\t<e>&"])
def test_a_secret_is_hidden_however_it_is_written(token: str) -> None:
    secret = Secret(token)
    for text in (
        token,
        f"https://me:{quote(token, safe='')}@host",
        "".join(f"%{byte:02X}" for byte in token.encode()),
        repr({"token": token}),
        repr([token.encode()]),
        json.dumps({"Authorization": f"Bearer {token}"}),
        html.escape(token),
        token.encode().hex(),
        token.upper(),
    ):
        assert token.lower() not in unquote(html.unescape(secret.hidden_in(text))).lower()
        assert "…" in secret.hidden_in(text)
    for user in ("", "a", "me", "you"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            shown = secret.hidden_in(encode(f"{user}:{token}!".encode()).decode())
            assert "…" in shown
            assert len(shown) < 14


def test_a_fault_that_nobody_foresaw_shows_no_token(
    run: Path, server: FakeCvat, cvat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(shell.DEBUG_VARIABLE, "1")

    def fail(*_: object) -> None:
        raise RuntimeError(f"in the clear: {TOKEN}, and encoded: {base64.b64encode(TOKEN.encode())!r}")

    monkeypatch.setattr("annotator.cvat_server.push.alone", fail)
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "unexpected fault (RuntimeError: in the clear: …")


def test_a_page_of_a_proxy_is_told_in_a_sentence(
    run: Path, server: FakeCvat, cvat: Run, tmp_path: Path
) -> None:
    page = b"<html><head><title>502 Bad Gateway</title></head>\r\n</html>"
    server.trouble = lambda method, path: page if method == "POST" else None
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert answer.stderr == (
        f"error: {server.url}: answered 502 (Bad Gateway); the same command goes on where it stopped\n"
    )


def test_what_a_server_says_cannot_reach_into_the_terminal(run: Path, server: FakeCvat, cvat: Run) -> None:
    server.said = "\x1b[2J\x1b]0;owned\x07 red\r\nerror: \u202eforged\x9b31m \ud800"
    server.trouble = lambda method, path: 418 if path == "/api/tasks" else None
    answer = cvat("push", run, "--url", server.url)
    assert_one_sentence(answer, "answered 418", "forged")
    assert answer.stderr.removesuffix("\n").isprintable()


def test_a_server_that_says_the_token_is_quoted_without_it(run: Path, server: FakeCvat, cvat: Run) -> None:
    server.trouble = lambda method, path: 418 if path == "/api/tasks" else None
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "answered 418", "trouble with Bearer …")


def test_a_server_that_is_away_is_told(run: Path, server: FakeCvat, cvat: Run) -> None:
    with FakeCvat() as other:
        away = other.url
    answer = cvat("push", run, "--url", away)
    assert answer.returncode == 1
    assert_one_sentence(answer, f"{away}: does not answer", "the same command goes on where it stopped")
    server.trouble = lambda method, path: 503
    answer = cvat("push", run, "--url", server.url)
    assert answer.returncode == 1
    assert_one_sentence(answer, "503")


def test_a_server_that_is_no_cvat_is_told(run: Path, server: FakeCvat, cvat: Run) -> None:
    server.files["/files/api/users/self"] = b"<html>hello</html>"
    answer = cvat("push", run, "--url", f"{server.url}/files")
    assert answer.returncode == 1
    assert_one_sentence(answer, "answered as no CVAT server known here does")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("cvat.example.com", "--url takes the address of a CVAT server"),
        ("ftp://cvat.example.com", "--url takes the address of a CVAT server"),
        ("https://me:pa55word@cvat.example.com", "--url must hold no password"),
        ("https://pa55word@cvat.example.com", "--url must hold no password"),
        ("https://:pa55word@cvat.example.com", "--url must hold no password"),
        ("me:pa55word@cvat.example.com", "--url takes the address of a CVAT server"),
        ("https://cvat.example.com/?token=pa55word", "without what follows ? or #"),
        ("https://cvat.example.com/#pa55word", "without what follows ? or #"),
        ("http://[::1", "--url takes the address of a CVAT server"),
        ("http://me:pa55word@[::1", "--url takes the address of a CVAT server"),
        ("http://cvat.example.com:pa55word", "--url takes the address of a CVAT server"),
        ("http://cvat.example.com:99999", "--url takes the address of a CVAT server"),
        ("http:///tasks", "--url takes the address of a CVAT server"),
        ("http://cvat\x1b.example.com", "--url takes the address of a CVAT server"),
        ("", "--url takes the address of a CVAT server"),
    ],
)
@pytest.mark.parametrize("name", ["push", "pull"])
def test_addresses_that_are_none(
    pushed: Path, tmp_path: Path, cvat: Run, server: FakeCvat, name: str, url: str, words: str
) -> None:
    server.log.clear()
    answer = cvat(name, pushed, "--url", url, *(["--out", tmp_path / "back"] if name == "pull" else []))
    assert answer.returncode == 2
    assert_one_sentence(answer, words)
    assert "pa55word" not in answer.stderr
    assert server.log == []
