"""What a benchmark leaves: tidy tables, figures and report.html."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sts.augment.grid import KEYS, TIME, columns_for, in_order
from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.evaluation.metrics import PLAIN_SCORES
from sts.reports.page import write_page
from sts.studies.augment.differences import COLUMNS, Rows
from sts.studies.augment.results import Results, baseline_of, fidelity_summary
from sts.studies.augment.samples import make_samples, write_samples
from sts.studies.augment.sections import make_sections, subtitle_of
from sts.studies.augment.words import in_words

FIDELITY_COLUMNS: Final = (
    "method",
    "repeat",
    "fold",
    "measure",
    "against",
    "label",
    "feature",
    "value",
)


def write_results(run: Run, results: Results) -> None:
    """Write tables, draw figures and put both on a page."""
    classes = results.task.neurons.classes
    rows = in_order(results.rows)
    # Times differ from run to run; all else is the same bytes for the same job.
    columns = [name for name in columns_for(classes) if name != TIME]
    write_csv(run.path / "results.csv", columns, _only(columns, rows))
    write_csv(run.path / "times.csv", (*KEYS, TIME), _only((*KEYS, TIME), rows))
    write_csv(
        run.path / "differences.csv", COLUMNS, [each.to_row() for each in results.differences]
    )
    write_csv(run.path / "fidelity.csv", FIDELITY_COLUMNS, results.fidelity)
    samples = make_samples(results)
    if samples is not None:
        write_samples(run.path / "samples.csv", samples)
    with warnings.catch_warnings():
        # Names of classes may be in any script; what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        sections = make_sections(run, results, samples)
    write_page(
        run.path / "report.html",
        f"Augmentation: {results.task.title}",
        subtitle=subtitle_of(results),
        sections=sections,
    )
    run.report(report_of(results))


def _only(columns: Sequence[str], rows: Rows) -> Iterator[dict[str, Any]]:
    return ({name: row[name] for name in columns} for row in rows)


def report_of(results: Results) -> dict[str, Any]:
    """Return what `report.json` holds."""
    job, fidelity = results.job, fidelity_summary(results)
    return {
        "job": to_dict(job),
        "neurons": len(results.task.neurons),
        "simulated": results.simulated,
        "features": list(results.task.neurons.names),
        "classes": dict(
            zip(results.task.neurons.classes, results.task.neurons.counts().tolist(), strict=True)
        ),
        "left_out": results.task.left_out,
        "divisions": len(results.divided),
        "baseline": {
            classifier: {name: vars(interval) for name, interval in scores.items()}
            for classifier, scores in baseline_of(results).items()
        },
        "verdicts": [each.to_row() for each in results.differences if each.score in PLAIN_SCORES],
        "fidelity": fidelity,
        "in_words": {
            method: in_words(results, fidelity, method) for method in results.job.rows_of_grid[1:]
        },
        "notes": [
            {"method": method, "note": note, "divisions": count}
            for (method, note), count in results.notes.items()
        ],
        "failed": results.failed,
    }
