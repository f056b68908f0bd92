"""Where tasks go: a project of the server, and whether the labels there can take what is sent."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from annotator.cvat_server.secrets import one_line
from annotator.cvat_server.server import Server
from annotator.errors import NotFound, UsageError
from annotator.formats.cvat import writer as cvat_writer
from annotator.labels import BY_ID, BY_NAME, INSTANCE_CLASSES


class Project:
    """The project that was asked for, by number or name, or none. One that isn't there is made for the first task."""

    def __init__(self, server: Server, wanted: str | None) -> None:
        """Look it up. Raises UsageError when it can't be told, or would drop identities."""
        self.wanted = wanted
        self.number: int | None = None  # None: there is none, or none yet
        self._server = server
        self._organization: int | None = None
        self._labels: list[Any] | None = None
        if found := self._found():
            self.number, self._organization = int(found.id), found.organization
            self._labels = server.ask(found.get_labels)
            self._require_identities()

    @property
    def is_to_be_made(self) -> bool:
        """Whether it is wanted, and isn't there."""
        return self.wanted is not None and self.number is None

    def enter(self) -> None:
        """Do what comes next in the project's organization; without one, in none."""
        self._server.enter(self._organization)

    def lacks(self, labels: Iterable[str]) -> str | None:
        """What its labels lack to take shapes of these, in words; None if they can."""
        return None if self._labels is None else lacking(self._labels, labels)

    def make(self) -> int | None:
        """The number of the project, which is there from now on; None if none is wanted."""
        if self.is_to_be_made:
            labels = json.loads(
                cvat_writer.label_specification(BY_ID[class_id] for class_id in INSTANCE_CLASSES)
            )
            with self._server.faults():
                created = self._server.client.projects.create({"name": self.wanted, "labels": labels})
            self.number, self._organization = int(created.id), created.organization
            self._labels = self._server.ask(created.get_labels)
        return self.number

    def _found(self) -> Any:
        """The project on the server, None if there is none."""
        wanted, projects = self.wanted, self._server.client.projects
        if wanted is None:
            return None
        if wanted.isdecimal():
            try:
                return self._server.ask(projects.retrieve, int(wanted))
            except NotFound as error:
                raise UsageError(
                    f"`project` {wanted}: {self._server.url} has no project of this number"
                ) from error
        found = [each for each in self._server.ask(projects.list, search=wanted) if each.name == wanted]
        if len(found) > 1:
            raise UsageError(
                f"`project` {wanted}: {len(found)} projects are called so; give the number of one"
            )
        return found[0] if found else None

    def _require_identities(self) -> None:
        ours = [label.name for label in self._labels or () if label.name in BY_NAME]
        if lacks := self.lacks(name for name in ours if BY_NAME[name].has_instances):
            raise UsageError(f"`project` {self.wanted}: {lacks}")


def lacking(there: Iterable[Any], needed: Iterable[str]) -> str | None:
    """What labels of the server lack to take shapes of the `needed`, in words; None if they can."""
    by_name = {label.name: label for label in there}
    needed = sorted(needed)
    if missing := [name for name in needed if name not in by_name]:
        names = ", ".join(missing)
        return f"it lacks the label{'s' * (len(missing) > 1)} {one_line(names)}, which cvat_labels.json has"
    for name in needed:
        if missing := sorted(cvat_writer.NEEDED - {each.name for each in by_name[name].attributes}):
            identity = ", without which nothing tells identities when tracks come back" * ("uid" in missing)
            names = ", ".join(missing)
            return (
                f"its label {name} lacks the attribute{'s' * (len(missing) > 1)} {names}{identity};"
                " take the labels of cvat_labels.json"
            )
    return None
