"""The house stands: a file imports only from lower floors or its own folder, and there are no circles."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.options import NAMED_OPTION, with_flags

ROOT = Path(__file__).parents[1]

FLOORS = [  # design/house.md: lowest first, and so within a floor; a name covers all that is in it
    [
        "annotator.errors",
        "annotator.escape",
        "annotator.labels",
        "annotator.limits",
        "annotator.files",
        "annotator.filling",
        "annotator.run_lengths",
        "annotator.masks",
        "annotator.interpolation",
    ],
    ["annotator.options", "annotator.frames", "annotator.polygons", "annotator.model"],
    ["annotator.instances", "annotator.video"],
    ["annotator.detection", "annotator.store"],
    [
        "annotator.formats",
        "annotator.tracking",
        "annotator.evaluation",
        "annotator.review",
        "annotator.synthetic",
        "annotator.training",
    ],
    [
        "annotator.pipeline",
        "annotator.library",
        "annotator.cvat_server",
        "annotator.integrations",
        "annotator.fleet",
    ],
    ["cli", "annotator.__main__"],
]
ROOMS = [room for rooms in FLOORS for room in rooms]
# Files that all stand on: as one room, or each would be known by nearly every other.
GROUND = {*FLOORS[0], "annotator.frames", "annotator.instances"}
MOST_IMPORTS = 100  # of rooms by others
LONGEST_FILE = 450  # lines
LONGEST_FUNCTION = 60
ONLY_IN_CLI = {"click", "rich"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
HEAVY = {
    "torch",
    "openvino",
    "torchvision",
    "timm",
    "av",
    "cv2",
    "scipy",
    "shapely",
    "pycocotools",
    "PIL",
    "numpy",
}


def modules() -> dict[str, Path]:
    """Every module of the project and its file."""
    files = [path for folder in ("annotator", "cli") for path in sorted((ROOT / folder).rglob("*.py"))]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }


MODULES = modules()


def imports(module: str) -> Iterator[str]:
    """All modules that a file imports, wherever in the file; those of the project down to the file."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # The commands are installed as annotator.cli, so that only relative imports reach them everywhere.
            assert not node.level or room(module) == "cli", (
                f"{module}: relative imports hide where they lead to"
            )
            above = ".".join(filter(None, ["cli" if node.level else "", node.module]))
            assert node.level or above.split(".")[0] != "cli", (
                f"{module}: where installed, it is annotator.cli"
            )
            for alias in node.names:
                inner = f"{above}.{alias.name}"
                yield inner if inner in MODULES else above


def room(module: str) -> str:
    """The room that a module is in: annotator.video for annotator.video.loader."""
    return "cli" if module.startswith("cli") else ".".join(module.split(".")[:2])


def test_every_file_has_its_place() -> None:
    assert {room(module) for module in MODULES} - {"annotator"} <= set(ROOMS)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "annotator"])
def test_a_file_imports_only_from_lower_rooms_or_its_own(module: str) -> None:
    below = ROOMS[: ROOMS.index(room(module))]
    for imported in imports(module):
        if imported in MODULES and imported != "annotator":
            assert room(imported) in (*below, room(module)), f"{module} imports {imported} from above"


def loaded(module: str) -> set[str]:
    """The files of the project that loading a module loads: what it imports, and the packages which that is in.

    Packages that the module itself is in count where it names them: else they are there before it, and may load it as
    the names that they offer. The package itself loads its names when they are used, so that it imports nothing.
    """
    named = {name for name in imports(module) if name in MODULES}
    around = {above for name in named for above in packages_of(name)} - packages_of(module)
    return (named | around) - {"annotator", module}


def packages_of(module: str) -> set[str]:
    """The packages that a module is in."""
    parts = module.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts))}


def test_there_are_no_circles() -> None:
    graph = {module: loaded(module) for module in MODULES.keys() - {"annotator"}}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, naming the circle


def test_rooms_know_few_others() -> None:
    known = {
        (group(module), group(imported))
        for module in MODULES
        for imported in imports(module)
        if {module, imported} <= MODULES.keys() - {"annotator"}
    }
    assert len({pair for pair in known if pair[0] != pair[1]}) <= MOST_IMPORTS


def group(module: str) -> str:
    """The room that a module is in, or one name for all files of the ground."""
    return "ground" if room(module) in GROUND else room(module)


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_can_be_taken_in_at_once(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("cli")])
def test_click_and_rich_stay_in_the_command_line(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & ONLY_IN_CLI


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("cli")])
def test_messages_name_options_by_their_fields(module: str) -> None:
    named = [text for text in texts(module) if FLAG.search(text) and not FLAG.fullmatch(text)]
    assert not named, "write `overwrite`, of which the command line makes --overwrite"


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("cli")])
def test_options_that_messages_name_are_there(module: str) -> None:
    named = {option[0] for text in texts(module) for option in NAMED_OPTION.finditer(text)}
    assert not [option for option in named if with_flags(option) == option]


def texts(module: str) -> Iterator[str]:
    """The strings of a module, but for docstrings, and for what help says of options where they are declared."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    declared = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "option"
        for inner in ast.walk(node)
    }
    documented = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in set(ast.walk(tree)) - declared - documented:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


COMMANDS = {
    "cli.annotate",
    "cli.bench",
    "cli.convert",
    "cli.cvat",
    "cli.evaluate",
    "cli.fleet",
    "cli.quantize",
    "cli.review",
    "cli.track",
    "cli.train",
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_answers_at_once(command: str) -> None:
    script = (
        f"import sys, {command} as c; code = c.shell.run(c.command, ['--help']); print(code, *sys.modules)"
    )
    began = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - began
    code, *loaded = answer.stdout.splitlines()[-1].split()
    assert code == "0"
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert seconds < 5  # a generous bound for a busy machine: what makes it quick is the line before
