"""README and commands agree."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / ".github" / "docs").glob("*.md"))]
README = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)  # what users are told
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
COMMANDS = {
    "spatialemb-annotate": "cli.annotate",
    "spatialemb-fleet": "cli.fleet",
    "spatialemb-eval": "cli.evaluate",
    "spatialemb-train": "cli.train",
    "spatialemb-track": "cli.track",
    "spatialemb-convert": "cli.convert",
    "spatialemb-cvat": "cli.cvat",
    "spatialemb-review": "cli.review",
    "spatialemb-bench": "cli.bench",
    "spatialemb-quantize": "cli.quantize",
}


def lines_of(command: str) -> list[list[str]]:
    """The arguments of every call of a command in the README's shell blocks."""
    calls = re.findall(rf"^(?:.*&& )?{command} (.*)$", SHELL, re.MULTILINE)
    return [shlex.split(call) for call in calls]


def parts_of(command: click.Command) -> dict[str, click.Command]:
    """The commands that a command consists of; "" is one that need not be named."""
    if not isinstance(command, click.Group):
        return {"": command}
    return {"" if part.hidden else name: part for name, part in command.commands.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_in_the_readme_parse(name: str) -> None:
    parts = parts_of(importlib.import_module(COMMANDS[name]).command)
    assert lines_of(name)
    for first, *rest in lines_of(name):
        command, arguments = (parts[first], rest) if first in parts else (parts[""], [first, *rest])
        with click.Context(command) as context:
            command.parse_args(context, arguments)


def test_every_option_that_the_readme_names_exists() -> None:
    options = {
        flag
        for module in COMMANDS.values()
        for command in parts_of(importlib.import_module(module).command).values()
        for parameter in command.params
        for flag in parameter.opts
    }
    named = set(re.findall(r"`(--[a-z-]+)", README)) - {"--help"}
    assert named <= options


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    for link in links:
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:annotator|examples|tests)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_readme_itself_is_short() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 200


def test_the_readme_tells_every_exit_code() -> None:
    from annotator.errors import ExitCode

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == set(ExitCode)


def test_ci_installs_and_tests_as_the_readme_says() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for part in ('pip install -e ".[test,train]"', "python -m pytest"):
        assert part in SHELL
    assert '-e ".[test,train]"' in ci
    assert "python -m pytest" in ci
