"""What labels of other tools are called here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from annotator.errors import FormatError, UsageError
from annotator.labels import BY_NAME

NONE = "none"  # instead of a class: what is called so is left out


@dataclass(frozen=True)
class Classes:
    """The Cityscapes id of every label, by its own name if that is one, or as the user says."""

    given: Mapping[str, int | None] = field(default_factory=dict)  # None = left out

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Classes:
        """Classes from "NAME=CLASS", CLASS a Cityscapes class or "none". Raises UsageError."""
        given: dict[str, int | None] = {}
        for text in texts:
            name, equals, wanted = (part.strip() for part in text.rpartition("="))
            is_class = wanted in BY_NAME and BY_NAME[wanted].has_instances
            if not equals or not name or (wanted != NONE and not is_class):
                raise UsageError(
                    f"--map takes NAME=CLASS, as pedestrian=person, or NAME={NONE} to leave it out, not {text!r}"
                )
            given[name] = None if wanted == NONE else BY_NAME[wanted].id
        return cls(given)

    def id_of(self, name: str) -> int | None:
        """The Cityscapes id of a label; None: it is to be left out, as what is no class of instances is.

        Raises FormatError when it is not known.
        """
        if name in self.given:
            return self.given[name]
        label = BY_NAME.get(name) or BY_NAME.get(name.casefold())
        if label:
            return label.id if label.has_instances else None
        raise FormatError(
            f"label {name!r} is no Cityscapes class; spatialemb-convert --map '{name}=CLASS' says which it is,"
            f" '{name}={NONE}' leaves it out"
        )

    def knows(self, name: str) -> bool:
        """Whether a label is a class, or left out."""
        return name in self.given or name.casefold() in BY_NAME


AS_NAMED = Classes()
