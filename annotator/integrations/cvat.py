"""The place where `cvat-cli` finds the auto-annotation function: see annotator.cvat_server.auto_annotation."""

from annotator.cvat_server.auto_annotation import Function, create

__all__ = ["Function", "create"]
