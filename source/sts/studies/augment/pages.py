"""What a benchmark leaves behind, and what stands on its page."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from sts.augment.fidelity.measure import MEASURES
from sts.augment.grid import BASELINE, KEYS, TIME, columns_for, in_order
from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.evaluation.compare import CANNOT_TELL, NO_VERDICT
from sts.evaluation.predictions import PLAIN_SCORES, SCORES
from sts.reports.page import Block, Facts, Picture, Section, Table, write_page
from sts.reports.tables import settings_table
from sts.studies.augment import drawings
from sts.studies.augment.differences import COLUMNS, Gain, Rows
from sts.studies.augment.results import (
    Results,
    Samples,
    baseline_of,
    fidelity_summary,
    make_samples,
    name_of,
    write_samples,
)
from sts.studies.augment.words import (
    CIRCULAR,
    INTERVALS,
    gain_in_words,
    in_words,
    notes_of,
    what_it_says,
)
from sts.tabular.classifiers import classifier_title

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


FLOOR: Final = "real cells"
VERDICTS: Final = ("helps", "hurts", CANNOT_TELL, NO_VERDICT)
IN_PLACE: Final = (
    "Rows are made in the place of held-out cells, as many of each class, and compared with "
    "training cells and with held-out ones. The first column is the floor: real cells in the "
    "place of made ones, held-out ones against training cells and training cells against "
    "held-out ones. `nearest` against training cells well below the floor means copies."
)


def subtitle_of(results: Results) -> str:
    """Return how many neurons were divided how."""
    job, neurons = results.job, results.task.neurons
    folds = len({row.fold for row in results.divided})
    how = (
        f"one holdout, {job.repeats} seeds"
        if job.protocol == "paper"
        else f"{folds} folds, {'once' if job.repeats == 1 else f'{job.repeats} times'}"
    )
    return (
        f"{len(neurons)} neurons, {len(neurons.names)} features, {len(neurons.classes)} classes; "
        f"{how}"
    )


def make_sections(run: Run, results: Results, samples: Samples | None) -> list[Section]:
    """Draw all figures and return what the page says."""
    sections = [
        Section("What it says", _verdicts(run, results)),
        Section("Without added rows", _baseline(run, results)),
        Section("With added rows", _added(run, results)),
    ]
    if results.fidelity:
        sections.append(Section("How real it is", _fidelity(run, results, samples)))
    sections.append(Section("Cells and features", _about(results)))
    sections.append(Section("Settings", [settings_table(to_dict(results.job))]))
    return sections


def _verdicts(run: Run, results: Results) -> list[Block]:
    blocks: list[Block] = [_facts(results)]
    blocks += what_it_says(results, fidelity_summary(results))
    if results.task.circular:
        blocks.append(CIRCULAR)
    blocks += [INTERVALS[results.job.protocol], _counts(results)]
    if results.failed:
        blocks.append(
            Table(
                columns=["where cells are missing", "why"],
                rows=[[where, why] for where, why in results.failed.items()],
            )
        )
    places = drawings.draw_places(run, results)
    if places is not None:
        caption = (
            "Each method: what it adds to macro F1, how easily it is told from real cells (dashed: "
            "as real training cells are), and whether it repeats training cells (dark) or not "
            "(light)."
        )
        blocks.append(Picture(files=places, caption=caption))
    return blocks


def _facts(results: Results) -> Facts:
    base = baseline_of(results)
    facts = []
    if base:
        best = max(base, key=lambda name: base[name]["macro_f1"].value)
        for score, words in (
            ("macro_f1", "best macro F1, nothing added"),
            ("accuracy", "its accuracy"),
        ):
            each = base[best][score]
            known = np.isfinite([each.low, each.high]).all()
            reach = f", {each.low:.3f} to {each.high:.3f}" if known else ""
            remark = f"{classifier_title(best)}{reach}"
            facts.append((words, f"{each.value:.3f}", remark))
    told = [each for each in results.differences if each.score == "macro_f1"]
    if told:
        top = max(told, key=lambda each: each.value)
        added = f", {top.added:,} added" if top.added else ""
        remark = f"{classifier_title(top.classifier)}, {name_of(top.method)}{added}"
        facts.append(("best macro F1 with any", f"{top.value:.3f}", remark))
    return Facts(facts)


def _counts(results: Results) -> Table:
    """Return how often each method helps, hurts or cannot be told."""
    rows: list[list[object]] = []
    methods = dict.fromkeys(each.method for each in results.differences)
    for method in methods:
        for score in PLAIN_SCORES:
            here = [
                each
                for each in results.differences
                if each.method == method and each.score == score
            ]
            counts = [sum(each.verdict == verdict for each in here) for verdict in VERDICTS]
            corrected = [
                sum(each.holm_verdict == verdict for each in here) for verdict in VERDICTS[:2]
            ]
            mean = float(np.mean([each.difference.value for each in here]))
            number = here[0].comparisons
            rows.append(
                [name_of(method), SCORES[score], *counts, *corrected, number, f"{mean:+.4f}"]
            )
    return Table(
        columns=[
            "method",
            "score",
            *VERDICTS,
            "helps, corrected",
            "hurts, corrected",
            "for comparisons",
            "mean difference",
        ],
        rows=rows,
        caption="Over all classifiers and all numbers of added rows. Corrected: for all "
        "comparisons in the same score, of all methods (Holm, 1979).",
    )


def _baseline(run: Run, results: Results) -> list[Block]:
    rows = [
        [classifier_title(name), *(scores[score].in_words() for score in PLAIN_SCORES)]
        for name, scores in baseline_of(results).items()
    ]
    table = Table(columns=["classifier", *(SCORES[score] for score in PLAIN_SCORES)], rows=rows)
    caption = "Every classifier on real training neurons alone, and on parts of them."
    return [Picture(files=drawings.draw_baseline(run, results), caption=caption), table]


def _added(run: Run, results: Results) -> list[Block]:
    blocks: list[Block] = []
    if (files := drawings.draw_added(run, results)) is not None:
        caption = "Accuracy and macro F1 against the rows added to each class, 95 % intervals."
        blocks.append(Picture(files=files, caption=caption))
    if (files := drawings.draw_gains(run, results)) is not None:
        caption = (
            f"Change in recall of each class, {drawings.gain_words(results)}; bold where its own "
            "verdict, which is not corrected for the number of comparisons, is that it helps or "
            "hurts."
        )
        blocks.append(Picture(files=files, caption=caption))
    blocks.append(_difference_table(results.differences))
    blocks.append("All of these and the recall of every class are in differences.csv.")
    blocks += [table for table in (_approximations(results), notes_of(results)) if table]
    return blocks


def _difference_table(differences: Sequence[Gain]) -> Table:
    rows = [
        [
            name_of(each.method),
            classifier_title(each.classifier),
            each.added,
            SCORES[each.score],
            f"{each.baseline:.3f}",
            f"{each.value:.3f}",
            gain_in_words(each.difference),
            each.verdict,
            each.holm_verdict,
            each.comparisons,
        ]
        for each in differences
        if each.score in ("accuracy", "macro_f1")
    ]
    return Table(
        columns=[
            "method",
            "classifier",
            "added",
            "score",
            "without",
            "with",
            "difference",
            "verdict",
            "corrected",
            "for comparisons",
        ],
        rows=rows,
        caption="Corrected: the verdict after Holm's correction (1979) for all comparisons in the "
        "same score.",
    )


def _approximations(results: Results) -> Table | None:
    found = {
        (row["classifier"], row["added"], row["how"]): None for row in results.rows if row["how"]
    }
    if not found:
        return None
    rows = [[classifier_title(name), added, how] for name, added, how in sorted(found)]
    return Table(
        columns=["classifier", "added", "what it did otherwise than with few rows"], rows=rows
    )


def _fidelity(run: Run, results: Results, samples: Samples | None) -> list[Block]:
    summary = fidelity_summary(results)
    methods = [method for method in results.job.rows_of_grid if method in summary]
    sides = list(dict.fromkeys(name for method in methods for name in summary[method]))
    rows = [
        [name, *(summary[method].get(name) for method in methods)]
        for name in sorted(sides, key=_order)
    ]
    heads = [FLOOR if method == BASELINE else name_of(method) for method in methods]
    blocks: list[Block] = [
        IN_PLACE,
        Table(columns=["measure, against", *heads], rows=rows),
        Table(columns=["measure", "is"], rows=[list(pair) for pair in MEASURES.items()]),
    ]
    if (files := drawings.draw_fidelity(run, results)) is not None:
        caption = (
            "Kolmogorov-Smirnov distance of every class and feature to held-out cells, what real "
            "training cells reach first; white where a class has fewer than two cells on a side."
        )
        blocks.append(Picture(files=files, caption=caption))
    if samples is not None:
        caption = (
            f"Densities in the first fold: the {len(samples.shown)} features by which classes of "
            "training cells differ most, of those that say nearly the same one."
        )
        blocks.append(Picture(files=drawings.draw_samples(run, samples), caption=caption))
    return blocks


def _order(name: str) -> tuple[int, str]:
    measure = name.split(",")[0]
    return (list(MEASURES).index(measure), name)


def _about(results: Results) -> list[Block]:
    task = results.task
    counts = task.neurons.counts().tolist()
    blocks: list[Block] = [
        Table(
            columns=["class", "neurons"],
            rows=[[name, count] for name, count in zip(task.neurons.classes, counts, strict=True)],
        ),
        f"Features: {', '.join(task.neurons.names)}.",
    ]
    if task.left_out:
        rows = [[name, why] for name, why in task.left_out.items()]
        blocks.append(Table(columns=["column that is left out", "why"], rows=rows))
    if task.lenders is not None and results.job.borrow:
        blocks.append(
            f"{len(task.lenders)} neurons without morphology may join the training rows; none of "
            "them is scored in any fold."
        )
    return blocks
