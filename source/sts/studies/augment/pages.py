"""The files of a benchmark and its page."""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from sts.augment.fidelity import MEASURES
from sts.augment.grid import BASELINE, KEYS, TIME, score_columns, sort_scores
from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.evaluation.compare import CANNOT_TELL, NO_VERDICT
from sts.evaluation.predictions import PLAIN_SCORES, SCORES
from sts.evaluation.scores import Interval
from sts.reports import benchmark_drawings
from sts.reports.benchmark_scores import (
    GAIN_COLUMNS,
    Gain,
    ScoreRows,
    method_title,
    summarise_fidelity,
)
from sts.reports.page import Block, Facts, Picture, Section, Table, write_page
from sts.reports.tables import settings_table
from sts.studies.augment.conclusions import (
    CIRCULAR,
    INTERVALS,
    describe_method,
    format_gain,
    make_notes_table,
    show_recalls,
    write_conclusions,
)
from sts.studies.augment.planning import (
    PLAN_COLUMNS,
    Forecast,
    make_forecasts,
    make_plan_rows,
    show_plan,
)
from sts.studies.augment.results import Results, summarise_baseline
from sts.studies.augment.samples import Samples, collect_samples, draw_samples, write_samples
from sts.studies.augment.store import FIDELITY
from sts.tabular.classifiers import classifier_title

FIDELITY_COLUMNS: Final = ("method", "repeat", "fold", *FIDELITY)
VERDICTS: Final = ("helps", "hurts", CANNOT_TELL, NO_VERDICT)
FIDELITY_EXPLAINED: Final = (
    "Synthetic rows, as many of each class as there are held-out cells, are compared with training "
    "cells and with held-out cells. The first column is the floor: held-out cells compared with "
    "training cells, and training cells with held-out cells. A value of `nearest` against training "
    "cells far below the floor means copies, but rows that are no copies can still show who was a "
    "training cell: the attacks (`distance` and `density`) measure this, and other attacks can be "
    "stronger. Intervals (95 %) are over divisions, each with another seed of the generator."
)


def write_results(run: Run, results: Results) -> None:
    """Write tables and figures, and a page with both."""
    classes = results.task.neurons.classes
    rows = sort_scores(results.rows)
    # Times differ between runs; all other bytes are the same for the same job.
    columns = [name for name in score_columns(classes) if name != TIME]
    write_csv(run.path / "results.csv", columns, _select_columns(columns, rows))
    write_csv(run.path / "times.csv", (*KEYS, TIME), _select_columns((*KEYS, TIME), rows))
    gains = [gain.to_row() for gain in results.gains]
    write_csv(run.path / "differences.csv", GAIN_COLUMNS, gains)
    write_csv(run.path / "fidelity.csv", FIDELITY_COLUMNS, results.fidelity)
    forecasts = make_forecasts(results) if results.job.planning else []
    if forecasts:
        write_csv(run.path / "plan.csv", PLAN_COLUMNS, make_plan_rows(forecasts))
    samples = collect_samples(results)
    if samples is not None:
        write_samples(run.path / "samples.csv", samples)
    with warnings.catch_warnings():
        # Class names can be in any script; a character that is missing in the font becomes a box.
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        sections = make_sections(run, results, samples, forecasts)
    write_page(
        run.path / "report.html",
        f"Augmentation: {results.task.title}",
        subtitle=_describe_division(results),
        sections=sections,
    )
    run.report(make_report(results))


def _select_columns(columns: Sequence[str], rows: ScoreRows) -> Iterator[dict[str, Any]]:
    return ({name: row[name] for name in columns} for row in rows)


def make_report(results: Results) -> dict[str, Any]:
    """Return the content of `report.json`."""
    job, neurons, fidelity = results.job, results.task.neurons, summarise_fidelity(results.fidelity)
    return {
        "job": to_dict(job),
        "neurons": len(neurons),
        "simulated": results.simulated,
        "features": list(neurons.names),
        "classes": dict(zip(neurons.classes, neurons.counts().tolist(), strict=True)),
        "left_out": results.task.left_out,
        "divisions": len(results.divisions),
        "baseline": {
            classifier: {name: vars(interval) for name, interval in scores.items()}
            for classifier, scores in summarise_baseline(results).items()
        },
        "verdicts": [gain.to_row() for gain in results.gains if gain.score in PLAIN_SCORES],
        "fidelity": fidelity,
        "fidelity_intervals": {
            method: {name: vars(interval) for name, interval in measures.items()}
            for method, measures in results.fidelity_intervals.items()
        },
        "in_words": {
            method: describe_method(results, fidelity, method) for method in job.all_methods[1:]
        },
        "notes": [
            {"method": method, "note": note, "divisions": count}
            for (method, note), count in results.notes.items()
        ],
        "failed": results.failed,
    }


def _describe_division(results: Results) -> str:
    """Return the size of the data and its divisions."""
    job, neurons = results.job, results.task.neurons
    folds = len({row.fold for row in results.divisions})
    how = (
        f"one holdout, {job.repeats} seeds"
        if job.protocol == "paper"
        else f"{folds} folds, {'once' if job.repeats == 1 else f'{job.repeats} times'}"
    )
    return (
        f"{len(neurons)} neurons, {len(neurons.names)} features, {len(neurons.classes)} classes; "
        f"{how}"
    )


def make_sections(
    run: Run, results: Results, samples: Samples | None, forecasts: Sequence[Forecast] = ()
) -> list[Section]:
    """Draw all figures and return the sections of the page."""
    sections = [
        Section("Conclusions", _show_conclusions(run, results)),
        Section("Without added rows", _show_baseline(run, results)),
        Section("With added rows", _show_gains(run, results)),
        Section("Each class", show_recalls(results)),
    ]
    if forecasts:
        sections.append(Section("How many more neurons", show_plan(run, results, forecasts)))
    if results.fidelity:
        sections.append(Section("Fidelity", _show_fidelity(run, results, samples)))
    sections.append(Section("Cells and features", _show_neurons(results)))
    sections.append(Section("Settings", [settings_table(to_dict(results.job))]))
    return sections


def _show_conclusions(run: Run, results: Results) -> list[Block]:
    blocks: list[Block] = [_make_facts(results)]
    blocks += write_conclusions(results, summarise_fidelity(results.fidelity))
    if results.task.circular:
        blocks.append(CIRCULAR)
    blocks += [INTERVALS[results.job.protocol], _make_verdict_table(results)]
    if results.failed:
        rows = [[where, why] for where, why in results.failed.items()]
        blocks.append(Table(columns=["missing scores", "reason"], rows=rows))
    places = benchmark_drawings.draw_places(run.figures / "map", results.scores)
    if places is not None:
        caption = (
            "Each method: its gain in macro F1, how well a classifier separates its rows from real "
            "cells (dashed: real training cells), and whether it repeats training cells (dark) or "
            "not (light)."
        )
        blocks.append(Picture(files=places, caption=caption))
    return blocks


def _make_facts(results: Results) -> Facts:
    base = summarise_baseline(results)
    facts = []
    if base:
        best = max(base, key=lambda name: base[name]["macro_f1"].value)
        for score, name in (
            ("macro_f1", "best macro F1, nothing added"),
            ("accuracy", "accuracy of the same"),
        ):
            each = base[best][score]
            known = np.isfinite([each.low, each.high]).all()
            interval = f", {each.low:.3f} to {each.high:.3f}" if known else ""
            facts.append((name, f"{each.value:.3f}", f"{classifier_title(best)}{interval}"))
    gains = [gain for gain in results.gains if gain.score == "macro_f1"]
    if gains:
        top = max(gains, key=lambda each: each.value)
        added = f", {top.added:,} added" if top.added else ""
        remark = f"{classifier_title(top.classifier)}, {method_title(top.method)}{added}"
        facts.append(("best macro F1 with a method", f"{top.value:.3f}", remark))
    return Facts(facts)


def _make_verdict_table(results: Results) -> Table:
    """Return how often each method helps and hurts, and how often this is unknown."""
    rows: list[list[object]] = []
    for method in dict.fromkeys(gain.method for gain in results.gains):
        for score in PLAIN_SCORES:
            here = [gain for gain in results.gains if (gain.method, gain.score) == (method, score)]
            counts = [sum(each.verdict == verdict for each in here) for verdict in VERDICTS]
            corrected = [
                sum(each.holm_verdict == verdict for each in here) for verdict in VERDICTS[:2]
            ]
            mean = float(np.mean([each.difference.value for each in here]))
            number = here[0].comparisons
            rows.append(
                [method_title(method), SCORES[score], *counts, *corrected, number, f"{mean:+.4f}"]
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


def _show_baseline(run: Run, results: Results) -> list[Block]:
    rows = [
        [classifier_title(name), *(scores[score].in_words() for score in PLAIN_SCORES)]
        for name, scores in summarise_baseline(results).items()
    ]
    table = Table(columns=["classifier", *(SCORES[score] for score in PLAIN_SCORES)], rows=rows)
    caption = "Every classifier on real training neurons alone, and on parts of them."
    return [
        Picture(
            files=benchmark_drawings.draw_baseline(run.figures / "baseline", results.scores),
            caption=caption,
        ),
        table,
    ]


def _show_gains(run: Run, results: Results) -> list[Block]:
    blocks: list[Block] = []
    if (files := benchmark_drawings.draw_added(run.figures / "added", results.scores)) is not None:
        caption = "Accuracy and macro F1 against the rows added to each class, 95 % intervals."
        blocks.append(Picture(files=files, caption=caption))
    if (
        files := benchmark_drawings.draw_gains(run.figures / "classes", results.scores)
    ) is not None:
        selection = benchmark_drawings.describe_selection(results.scores)
        caption = (
            f"Change in recall of each class, {selection}; bold where its own "
            "verdict, which is not corrected for the number of comparisons, is that it helps or "
            "hurts."
        )
        blocks.append(Picture(files=files, caption=caption))
    blocks.append(_make_gain_table(results.gains))
    blocks.append("differences.csv contains all of these, and the recall of every class.")
    how = {(row["classifier"], row["added"], row["how"]) for row in results.rows if row["how"]}
    if how:
        rows = [[classifier_title(name), added, text] for name, added, text in sorted(how)]
        columns = ["classifier", "added", "difference to a fit on few rows"]
        blocks.append(Table(columns=columns, rows=rows))
    if (notes := make_notes_table(results)) is not None:
        blocks.append(notes)
    return blocks


def _make_gain_table(gains: Sequence[Gain]) -> Table:
    rows = [
        [
            method_title(gain.method),
            classifier_title(gain.classifier),
            gain.added,
            SCORES[gain.score],
            f"{gain.baseline:.3f}",
            f"{gain.value:.3f}",
            format_gain(gain.difference),
            gain.verdict,
            gain.holm_verdict,
            gain.comparisons,
        ]
        for gain in gains
        if gain.score in ("accuracy", "macro_f1")
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


def _show_fidelity(run: Run, results: Results, samples: Samples | None) -> list[Block]:
    intervals = results.fidelity_intervals
    methods = [method for method in results.job.all_methods if method in intervals]
    order = list(MEASURES)
    sides = sorted(
        {name for method in methods for name in intervals[method]},
        key=lambda name: (order.index(name.split(",")[0]), name),
    )
    absent = Interval(math.nan, math.nan, math.nan)
    rows = [
        [name, *(intervals[method].get(name, absent).in_words() for method in methods)]
        for name in sides
    ]
    heads = ["real cells" if method == BASELINE else method_title(method) for method in methods]
    blocks: list[Block] = [
        FIDELITY_EXPLAINED,
        Table(columns=["measure, against", *heads], rows=rows),
        Table(columns=["measure", "meaning"], rows=[list(pair) for pair in MEASURES.items()]),
    ]
    if (
        files := benchmark_drawings.draw_fidelity(run.figures / "fidelity", results.scores)
    ) is not None:
        caption = (
            "Kolmogorov-Smirnov distance of every class and feature to held-out cells, real "
            "training cells first; white where a class has fewer than two cells on a side."
        )
        blocks.append(Picture(files=files, caption=caption))
    if samples is not None:
        caption = (
            f"Densities in the first fold of the {len(samples.shown)} features in which classes of "
            "training cells differ most; of nearly equal features one is drawn."
        )
        blocks.append(Picture(files=draw_samples(run, samples), caption=caption))
    return blocks


def _show_neurons(results: Results) -> list[Block]:
    task = results.task
    counts = task.neurons.counts().tolist()
    blocks: list[Block] = [
        Table(
            columns=["class", "neurons"],
            rows=[[name, count] for name, count in zip(task.neurons.classes, counts, strict=True)],
        ),
        f"Features: {', '.join(task.neurons.names)}.",
    ]
    scored = set(task.groups.group.tolist())
    unscored = sum(group not in scored for group in task.neurons.group.tolist())
    if unscored:
        blocks.append(
            f"{unscored} of these neurons are in the training rows of every division and are never "
            "scored, since settings of generators and classifiers were chosen on them."
        )
    if task.left_out:
        rows = [[name, why] for name, why in task.left_out.items()]
        blocks.append(Table(columns=["column that is left out", "why"], rows=rows))
    if task.borrowable is not None and results.job.borrow:
        blocks.append(
            f"{len(task.borrowable)} neurons without morphology may join the training rows; none "
            "of them is scored in any fold."
        )
    return blocks
