"""The figures of the augmentation study (Vasques and Cif, 2025), from the files of a benchmark."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sts.augment.grid import KEYS
from sts.base.errors import StsError
from sts.datasets.table import read_number
from sts.evaluation.scores import Interval
from sts.reports.benchmark_drawings import draw_added, draw_baseline, draw_fidelity, draw_gains
from sts.reports.benchmark_scores import GAIN_COLUMNS, BenchmarkScores, Gain
from sts.reports.figures.style import Paper
from sts.reports.publications.kept import DataTable
from sts.reports.publications.source import FigureSource
from sts.tabular.classifiers import VOTE

RESULTS: Final = "results.csv"
DIFFERENCES: Final = "differences.csv"
FIDELITY_MEASURES: Final = "fidelity.csv"
# Columns of these tables that hold text; the others hold numbers.
TEXT_COLUMNS: Final = frozenset(
    {"method", "classifier", "setup", "how", "score", "verdict", "holm_verdict"}
    | {"measure", "against", "label", "feature"}
)
# Columns that count.
WHOLE_COLUMNS: Final = frozenset({"repeat", "fold", "added", "pairs", "comparisons"})

DrawBenchmark = Callable[..., list[Path] | None]


def read_benchmark(source: FigureSource) -> BenchmarkScores:
    """Return the scores, differences and fidelity in the files of a benchmark."""
    report = source.report()
    rows = [_convert(row) for row in source.table(RESULTS)]
    if missing := [name for name in KEYS if name not in rows[0]]:
        raise StsError(f"no column {missing[0]!r} in {source.run / RESULTS}: run its command again")
    try:
        job = report["job"]
        classifiers = [str(name) for name in job["classifiers"]]
        return BenchmarkScores(
            rows=rows,
            gains=[_make_gain(_convert(row)) for row in _read_some(source, DIFFERENCES)],
            fidelity=[_convert(row) for row in _read_some(source, FIDELITY_MEASURES)],
            methods=list(dict.fromkeys(row["method"] for row in rows)),
            classifiers=classifiers,
            main_classifier=VOTE if VOTE in classifiers else classifiers[-1],
            added=[int(count) for count in job["added"]],
            protocol=str(job["protocol"]),
            classes={str(name): int(count) for name, count in report["classes"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StsError(f"{source.run} is not a run of `augment_benchmark.py`: {error}") from error


def _read_some(source: FigureSource, name: str) -> list[dict[str, str]]:
    """Return the rows of a table that may have none, as where nothing was compared."""
    return source.table(name, may_be_empty=True)


def _convert(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a row with numbers instead of their texts."""
    return {name: _convert_value(name, text) for name, text in row.items()}


def _convert_value(name: str, text: str) -> str | int | float:
    if name in TEXT_COLUMNS:
        return text
    number = read_number(text, name)
    return int(number) if name in WHOLE_COLUMNS and number == number else number


def _make_gain(row: Mapping[str, Any]) -> Gain:
    known = {name: row[name] for name in GAIN_COLUMNS if name not in ("low", "high")}
    difference = Interval(row["difference"], row["low"], row["high"])
    return Gain(**known | {"difference": difference})


def draw_without_rows(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw classifiers on real neurons alone, and their learning curves."""
    return _draw(draw_baseline, source, stem, paper, table=RESULTS)


def draw_with_rows(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw scores against the number of added rows."""
    return _draw(draw_added, source, stem, paper, table=RESULTS)


def draw_recalls(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw the change in recall of every class."""
    return _draw(draw_gains, source, stem, paper, table=DIFFERENCES)


def draw_realism(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw how far the rows of each method are from real cells, by class and feature."""
    return _draw(draw_fidelity, source, stem, paper, table=FIDELITY_MEASURES)


def _draw(
    draw: DrawBenchmark, source: FigureSource, stem: Path, paper: Paper, *, table: str
) -> DataTable:
    """Draw a figure of a benchmark; its data are in one of the tables of the run."""
    if draw(stem, read_benchmark(source), paper=paper) is None:
        raise StsError(f"{source.run} has nothing to draw: its {table} has no such rows")
    return DataTable.of(source.table(table))
