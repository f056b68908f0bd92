"""spatialemb-eval: labels and ground truth in, figures out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator import __version__
from annotator.errors import ExitCode, UsageError
from annotator.options import EvaluationOptions, PairingOptions, ReadingOptions

from . import shell
from .options import build, options_from

if TYPE_CHECKING:
    from annotator.evaluation.report import Report


@dataclass(frozen=True)
class Bound:
    """What a figure must reach."""

    key: str  # as `Report.figure` knows it
    least: float

    @classmethod
    def parse(cls, text: str) -> Bound:
        """A bound from "FIGURE=NUMBER". Raises UsageError."""
        key, _, least = text.partition("=")
        try:
            return cls(key.strip(), float(least))
        except ValueError:
            raise UsageError(f"--fail-under takes FIGURE=NUMBER, as AP=0.3, not {text!r}") from None


@click.command(name="spatialemb-eval")
@click.argument("prediction", metavar="PRED", type=click.Path(path_type=Path))
@click.argument("truth", metavar="GT", type=click.Path(path_type=Path))
@options_from(EvaluationOptions, PairingOptions, ReadingOptions)
@click.option(
    "--fail-under",
    "bounds",
    multiple=True,
    metavar="FIGURE=NUMBER",
    help="Return 1 when a figure is below, as AP=0.3, coco.AP50=0.5 or car.AP=0.4; may be repeated.",
)
@click.option("--quiet", is_flag=True, help="Show no table.")
@click.version_option(__version__, prog_name="spatialemb-eval", message="%(prog)s %(version)s")
@shell.verbose
def command(prediction: Path, truth: Path, bounds: tuple[str, ...], quiet: bool, **values: Any) -> int:
    """Score labels against ground truth.

    PRED and GT are recognized by what they hold: a folder that spatialemb-annotate wrote, or one recording of it,
    Cityscapes instanceIds or polygons, results for the Cityscapes benchmark, COCO JSON, CVAT XML, labelme JSON, YOLO
    text, MOTS text. Frames meet by
    name, or by number where a side has none; those that one side lacks are left out, and counted.

    \b
    Exit codes: 0 scored, 1 a figure is below --fail-under, 2 wrong usage or labels that can't be read,
    130 interrupted.
    """
    options = build(EvaluationOptions, values)
    demanded = [Bound.parse(text) for text in bounds]
    # Numpy and the like must not be behind --help, nor behind wrong usage.
    from annotator.evaluation.output import require_files, require_folder, write_csv, write_json
    from annotator.evaluation.report import evaluate

    require_files(path for path in (options.json, options.csv) if path)
    if options.plots:
        from annotator.evaluation.plots import require_matplotlib, write_plots

        require_folder(options.plots)
        require_matplotlib()
    reading, pairing = build(ReadingOptions, values), build(PairingOptions, values)
    report = evaluate(prediction, truth, options.metrics, reading, pairing)
    short = failures(report, demanded)
    if options.json:
        write_json(report, options.json)
    if options.csv:
        write_csv(report, options.csv)
    if options.plots:
        write_plots(report, options.plots)
    if not quiet:
        from .tables import show

        show(report)
    for sentence in short:
        shell.report_error(sentence)
    return ExitCode.SOME_FAILED if short else ExitCode.OK


def failures(report: Report, bounds: list[Bound]) -> list[str]:
    """A sentence for every figure that is below its bound, or not known. Raises UsageError for unknown figures."""
    values = [(bound, report.figure(bound.key)) for bound in bounds]
    return [
        f"{bound.key} is {value:.4g}, below {bound.least:g}"
        for bound, value in values
        if not value >= bound.least  # nan neither
    ]


def main() -> None:
    """Run the command, for the console script."""
    sys.exit(shell.run(command))


if __name__ == "__main__":
    main()
