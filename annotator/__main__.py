"""`python -m annotator` is `spatialemb-annotate`."""

from __future__ import annotations

from importlib import import_module

import_module("annotator.cli.annotate").main()
