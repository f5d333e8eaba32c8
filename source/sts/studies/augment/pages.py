"""What a benchmark leaves: tidy tables, figures and report.html."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from sts.augment.classifiers import title_of
from sts.augment.fidelity.measure import MEASURES
from sts.augment.grid import BASELINE, write_cells
from sts.augment.scoring import SCORES
from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.reports.blocks import Block, Facts, Picture, Section, Table
from sts.reports.page import write_page
from sts.reports.tables import settings_table
from sts.studies.augment import drawings
from sts.studies.augment.differences import COLUMNS, Difference
from sts.studies.augment.results import Results, baseline_of, name_of
from sts.studies.augment.samples import Samples, make_samples, write_samples

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
CIRCULAR: Final = (
    "E-types are clusters of the same electrophysiology that is classified here (Gouwens et al., "
    "2019), so the task is partly circular: a high score says that the clusters can be read from "
    "these features, not that a type of cell was found."
)
INTERVALS: Final = {
    "cv": (
        "Intervals (95 %) are over all folds of all repeats, corrected for the training rows that "
        "folds share (Nadeau and Bengio, 2003); differences are paired with the same classifier "
        "on the same fold without added rows. Many differences are looked at: about one in twenty "
        "that are none would still be told as one."
    ),
    "paper": (
        "As published: one stratified holdout of 20 %. The intervals are over seeds alone; what "
        "another holdout would say is not in them, so they are too narrow for a verdict on other "
        "cells. Use --protocol cv for one."
    ),
}
FLOOR: Final = "real cells"
IN_PLACE: Final = (
    "Rows are made in the place of held-out cells, as many of each class, and compared with "
    "training cells and with held-out ones. The first column is the floor: real cells in the "
    "place of made ones, held-out ones against training cells and training cells against "
    "held-out ones. `nearest` against training cells well below the floor means copies."
)


def write_results(run: Run, results: Results) -> None:
    """Write tables, draw figures and put both on a page."""
    classes = results.task.neurons.classes
    write_cells(run.path / "results.csv", results.rows, classes)
    write_csv(
        run.path / "differences.csv", COLUMNS, [each.to_row() for each in results.differences]
    )
    write_csv(run.path / "fidelity.csv", FIDELITY_COLUMNS, results.fidelity)
    samples = make_samples(results)
    if samples is not None:
        write_samples(run.path / "samples.csv", samples)
    write_page(
        run.path / "report.html",
        f"Augmentation: {results.task.title}",
        subtitle=_subtitle(results),
        sections=_sections(run, results, samples),
    )
    run.report(report_of(results))


def report_of(results: Results) -> dict[str, Any]:
    """Return what `report.json` holds."""
    job = results.job
    return {
        "job": to_dict(job),
        "neurons": len(results.task.neurons),
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
        "verdicts": [each.to_row() for each in results.differences if each.score in SCORES],
        "fidelity": fidelity_summary(results),
        "failed": results.failed,
    }


def fidelity_summary(results: Results) -> dict[str, dict[str, float]]:
    """Return the mean of every measure, by method and then by measure and side."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in results.fidelity:
        name = f"{row['measure']}, {row['against']}" if row["against"] else row["measure"]
        if np.isfinite(row["value"]):
            values.setdefault(row["method"], {}).setdefault(name, []).append(row["value"])
    return {
        method: {name: float(np.mean(several)) for name, several in found.items()}
        for method, found in values.items()
    }


def _subtitle(results: Results) -> str:
    job, neurons = results.job, results.task.neurons
    folds = len({row.fold for row in results.divided})
    how = (
        f"one holdout, {job.repeats} seeds"
        if job.protocol == "paper"
        else f"{folds} folds, {job.repeats} times"
    )
    return (
        f"{len(neurons)} neurons, {len(neurons.names)} features, {len(neurons.classes)} classes; "
        f"{how}"
    )


def _sections(run: Run, results: Results, samples: Samples | None) -> list[Section]:
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
            "Each method: what it adds to macro F1, how easily it is told from real cells, and "
            "whether it repeats the training cells (dark) or not (light)."
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
            remark = f"{title_of(best)}, {each.low:.3f} to {each.high:.3f}"
            facts.append((words, f"{each.value:.3f}", remark))
    told = [each for each in results.differences if each.score == "macro_f1"]
    if told:
        top = max(told, key=lambda each: each.value)
        remark = f"{title_of(top.classifier)}, {name_of(top.method)}, {top.added:,} added"
        facts.append(("best macro F1 with any", f"{top.value:.3f}", remark))
    return Facts(facts)


def _counts(results: Results) -> Table:
    """Return how often each method helps, hurts or cannot be told."""
    rows: list[list[object]] = []
    methods = dict.fromkeys(each.method for each in results.differences)
    for method in methods:
        for score, words in SCORES.items():
            here = [
                each
                for each in results.differences
                if each.method == method and each.score == score
            ]
            counts = [
                sum(each.verdict == verdict for each in here)
                for verdict in ("helps", "hurts", "cannot tell")
            ]
            mean = float(np.mean([each.difference.value for each in here]))
            rows.append([name_of(method), words, *counts, f"{mean:+.4f}"])
    return Table(
        columns=["method", "score", "helps", "hurts", "cannot tell", "mean difference"],
        rows=rows,
        caption="Over all classifiers and all numbers of added rows.",
    )


def _baseline(run: Run, results: Results) -> list[Block]:
    rows = [
        [title_of(name), *(scores[score].in_words() for score in SCORES)]
        for name, scores in baseline_of(results).items()
    ]
    table = Table(columns=["classifier", *SCORES.values()], rows=rows)
    caption = "Every classifier on real training neurons alone, and on parts of them."
    return [Picture(files=drawings.draw_baseline(run, results), caption=caption), table]


def _added(run: Run, results: Results) -> list[Block]:
    blocks: list[Block] = []
    if (files := drawings.draw_added(run, results)) is not None:
        caption = "Accuracy and macro F1 against the rows added to each class, 95 % intervals."
        blocks.append(Picture(files=files, caption=caption))
    if (files := drawings.draw_gains(run, results)) is not None:
        caption = (
            f"Change in recall of each class, {drawings.gain_words(results)}; bold where the "
            "interval leaves 0 out."
        )
        blocks.append(Picture(files=files, caption=caption))
    blocks.append(_difference_table(results.differences))
    blocks.append("All of these and the recall of every class are in differences.csv.")
    notes = _approximations(results)
    if notes:
        blocks.append(notes)
    return blocks


def _difference_table(differences: Sequence[Difference]) -> Table:
    rows = [
        [
            name_of(each.method),
            title_of(each.classifier),
            each.added,
            SCORES[each.score],
            f"{each.baseline:.3f}",
            f"{each.value:.3f}",
            each.difference.in_words(),
            each.verdict,
        ]
        for each in differences
        if each.score in ("accuracy", "macro_f1")
    ]
    columns = ["method", "classifier", "added", "score", "without", "with", "difference", "verdict"]
    return Table(columns=columns, rows=rows)


def _approximations(results: Results) -> Table | None:
    found = {
        (row["classifier"], row["added"], row["how"]): None for row in results.rows if row["how"]
    }
    if not found:
        return None
    rows = [[title_of(name), added, how] for name, added, how in sorted(found)]
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
        Picture(
            files=drawings.draw_fidelity(run, results),
            caption="Kolmogorov-Smirnov distance of every class and feature to held-out cells.",
        ),
    ]
    if samples is not None:
        caption = (
            f"Densities in the first fold: the {len(samples.shown)} features by which the "
            "training cells differ most."
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
