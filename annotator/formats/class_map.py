"""What labels of other tools are called here."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from annotator.errors import LabelFileError, UsageError
from annotator.labels import BY_NAME

NONE = "none"  # instead of a class: what is called so is left out


@dataclass(frozen=True)
class ClassMap:
    """The Cityscapes id of every label, by its own name if that is one, or as the user says."""

    given: Mapping[str, int | None] = field(default_factory=dict)  # None = left out
    leaves_out_others: bool = False  # instead of refusing them
    _met: set[str] = field(default_factory=set, compare=False)  # those of the user's that labels had so far

    @classmethod
    def parse(cls, texts: Iterable[str]) -> ClassMap:
        """ClassMap from "NAME=CLASS", CLASS a Cityscapes class or "none". Raises UsageError."""
        given: dict[str, int | None] = {}
        for text in texts:
            name, equals, wanted = text.rpartition("=")
            wanted = wanted.strip()
            is_class = wanted in BY_NAME and BY_NAME[wanted].has_instances
            if not equals or not name.strip() or (wanted != NONE and not is_class):
                raise UsageError(
                    f"`map` takes NAME=CLASS, as pedestrian=person, or NAME={NONE} to leave it out, not {text!r}"
                )
            given[name] = None if wanted == NONE else BY_NAME[wanted].id
        return cls({name.strip(): class_id for name, class_id in given.items()} | given)

    def id_of(self, name: str) -> int | None:
        """The Cityscapes id of a label; None: it is to be left out, as what is no class of instances is.

        Raises FormatError when it is not known.
        """
        return self.ids_of([name])[name]

    def ids_of(self, names: Iterable[str]) -> dict[str, int | None]:
        """The same of every label. Raises FormatError that names all that are not known."""
        names = dict.fromkeys(names)
        unknown = [name for name in names if not self.knows(name)]
        if unknown and not self.leaves_out_others:
            options = " ".join(f"`map` {shlex.quote(f'{name}={NONE}')}" for name in unknown)
            one = len(unknown) == 1
            raise LabelFileError(
                f"label{'' if one else 's'} {', '.join(map(repr, unknown))} {'is' if one else 'are'} no Cityscapes"
                f" class{'' if one else 'es'}; {options} leaves {'it' if one else 'them'} out; where one is a class,"
                f" put that in place of {NONE}"
            )
        return {name: self._known(name) for name in names}

    def _known(self, name: str) -> int | None:
        for given in (name, name.strip()):
            if given in self.given:
                self._met.add(name.strip())
                return self.given[given]
        label = BY_NAME.get(name) or BY_NAME.get(name.strip().casefold())
        return label.id if label and label.has_instances else None

    @property
    def unmet(self) -> frozenset[str]:
        """Names that the user gave a class, and no label that was asked for has."""
        return frozenset(name.strip() for name in self.given) - self._met

    def knows(self, name: str) -> bool:
        """Whether a label is a class, or left out; spaces around it don't matter."""
        return name in self.given or name.strip() in self.given or name.strip().casefold() in BY_NAME


IDENTITY_MAP = ClassMap()
AS_FAR_AS_KNOWN = ClassMap(leaves_out_others=True)
