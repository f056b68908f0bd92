"""What would make an import of labels fail, or change them: a linter for all formats that are written here."""

from __future__ import annotations

from annotator.formats.check.finding import ERROR, WARNING, Finding

__all__ = ["ERROR", "WARNING", "Finding"]
