"""The report of --transfer: a table, a figure, a paragraph, and the carried-over classifiers."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from sts.base.files import write_csv
from sts.base.runs import Run
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import Interval
from sts.evaluation.transfer import TransferScores
from sts.reports.figures.scores import ScorePanel, draw_transfer
from sts.reports.page import Code, Picture, Section, Table, write_page
from sts.reports.predictions import write_predictions
from sts.studies.classify.transfer.carry_over import CarryOver, list_steps
from sts.studies.classify.transfer.recipes import RECIPES
from sts.studies.classify.transfer.results import (
    ABSOLUTE,
    ACROSS,
    BOTH,
    EVEN,
    HIDDEN,
    MOVED,
    TOGETHER,
    UNDISPUTED,
    USES_TESTED_CELLS,
    WEIGHED,
    WITHIN,
    TransferJob,
    TransferKey,
    TransferResults,
    describe_results,
)

SHOWN_SCORES: Final = {"weighted_f1": "weighted F1", "balanced_accuracy": "balanced accuracy"}
RECIPE_COLUMNS: Final = (
    "trained_on",
    "tested_on",
    "fit",
    "scale",
    "shares",
    "in_worlds",
    *SHOWN_SCORES,
)
CARRIED: Final = "carried over"
# The same classifiers, fitted without the cells of the other data set.
NOT_CARRIED: Final = "same kind, plain"
POOLED_CAPTION: Final = (
    "One protocol, seen in parts: a classifier of the training cells of both data sets, by "
    "cross-validation. First the pooled score. Then the cells of one data set, cells weighted "
    "until class and data set are independent, times moved to the stimulus onset of the other data "
    "set, and cells that lack the features of a stimulus. The last two lines are a laboratory that "
    "was left out of training. Lines are 95 % intervals."
)
_NO_METADATA: Final = (
    "There are no e-types and no metadata of the Allen Institute to compare with the labels: "
    "fetch them with `data_pipeline.py fetch etypes` to see the scores without such cells."
)


@dataclass(frozen=True, kw_only=True)
class TransferRow:
    """A line of the table: its training cells, test cells, and the key of its scores."""

    trained_on: str
    tested_on: str
    training: str
    key: str


def list_rows(results: TransferResults) -> list[TransferRow]:
    """Return the lines of the table in their order."""
    first, second = results.datasets
    other = {first: second, second: first}

    def row(trained_on: str, tested_on: str, training: str, key: str) -> TransferRow:
        return TransferRow(trained_on=trained_on, tested_on=tested_on, training=training, key=key)

    rows = [row(BOTH, name, TOGETHER, name) for name in (BOTH, first, second)]
    rows += [
        row(BOTH, "both, weighted so that class and data set are independent", TOGETHER, WEIGHED),
        row("both, with these weights", "the same", EVEN, WEIGHED),
    ]
    rows += [row(BOTH, f"{name}, times moved", MOVED, name) for name in other]
    rows += [row(BOTH, f"both, {hidden}", hidden, BOTH) for hidden in HIDDEN]
    rows += [row(name, name, WITHIN, name) for name in other]
    rows += [row(other[name], name, ACROSS, name) for name in (second, first)]
    for name in (name for name in other if results.disputed[name]):
        shown = f"{name} without {results.disputed[name]} disputed labels"
        rows += [row(BOTH, shown, TOGETHER, name + UNDISPUTED)]
        rows += [row(other[name], shown, ACROSS, name + UNDISPUTED)]
    return rows


def name_views(results: TransferResults) -> dict[str, tuple[str, str]]:
    """Return the views by their titles."""
    return {
        f"{features}, absolute times" if times == ABSOLUTE else features: (features, times)
        for features, times in results.views
    }


def find_scores(results: TransferResults, row: TransferRow) -> dict[str, TransferScores]:
    """Return the scores in a line of the table, by column."""
    keys = {
        name: TransferKey(features=features, times=times, training=row.training, tested_on=row.key)
        for name, (features, times) in name_views(results).items()
    }
    scores = {name: results.scores[key] for name, key in keys.items() if key in results.scores}
    for carried, plain, chosen in zip(
        results.carried, results.plain_scores, results.carried_scores, strict=True
    ):
        if row.training == ACROSS and row.key == carried.tested_on:
            scores |= {NOT_CARRIED: plain, CARRIED: chosen}
    return scores


def transfer_table(results: TransferResults) -> Table:
    """Return the table: both scores of every line, one column per view."""
    columns = [*name_views(results), *([NOT_CARRIED, CARRIED] if results.carried else [])]
    lines: list[list[object]] = []
    for row in list_rows(results):
        scores = find_scores(results, row)
        if not scores:
            continue
        cells = round(next(iter(scores.values())).effective_cells)
        for name, title in SHOWN_SCORES.items():
            texts = [
                getattr(scores[one], name).in_words() if one in scores else "–" for one in columns
            ]
            lines.append([row.trained_on, row.tested_on, cells, title, *texts])
    areas = {name: results.origin[key].in_words() for name, key in name_views(results).items()}
    lines.append(
        ["both", "which data set is it?", None, "AUC", *(areas.get(one, "–") for one in columns)]
    )
    return Table(
        columns=["trained on", "tested on", "effective cells", "score", *columns],
        rows=lines,
        caption="Training cells only, each predicted by a model that was not fitted on it. In "
        "brackets: 95 % intervals, bootstrap within class and data set."
        + (f" {USES_TESTED_CELLS}" if results.carried else ""),
    )


def write_transfer_report(run: Run, job: TransferJob, results: TransferResults) -> None:
    """Write the report, the table as CSV, every recipe, and predictions of the selected ones."""
    table = transfer_table(results)
    columns = [str(name) for name in table.columns]
    lines = (dict(zip(columns, line, strict=True)) for line in table.rows)
    write_csv(run.path / "transfer.csv", columns, lines)
    write_csv(run.path / "recipes.csv", RECIPE_COLUMNS, list_recipes(results.carried))
    write_predictions(run.path / "predictions.csv", _join_predictions(results.carried))
    picture = draw_transfer(run.figures / "transfer", list_panels(results))
    text = describe_results(results)
    caption = f"The same models; lines are 95 % intervals. {USES_TESTED_CELLS}"
    notes = [] if results.has_metadata else [_NO_METADATA]
    command = f"python source/baseline_pipeline.py --transfer --model {job.model} --seed {job.seed}"
    hidden = draw_transfer(run.figures / "pooled", [pooled_panel(results)])
    sections = [
        Section("In one paragraph", [text]),
        Section("What the pooled score hides", [Picture(files=hidden, caption=POOLED_CAPTION)]),
        Section("In one figure", [Picture(files=picture, caption=caption)]),
        Section("In one table", [table, *notes]),
        Section("Classifiers carried over", list(describe_recipes(results.carried))),
        Section("How to repeat it", [Code(command)]),
    ]
    write_page(
        run.path / "report.html",
        f"Between {' and '.join(results.datasets)}",
        subtitle="Does the classifier recognise neurons, or data sets?",
        sections=sections,
    )
    run.report({"paragraph": text, **_to_dict(results)})


def list_panels(results: TransferResults) -> list[ScorePanel]:
    """Return the panels of the figure: trained on one, trained on both, and the data set itself."""
    rows = [row for row in list_rows(results) if UNDISPUTED not in row.key]

    def panel(
        title: str, trainings: tuple[str, ...], name_of: Callable[[TransferRow], str]
    ) -> ScorePanel:
        shown = [row for row in rows if row.training in trainings and find_scores(results, row)]
        marks: dict[str, dict[str, Interval]] = {}
        for row in shown:
            for name, scores in find_scores(results, row).items():
                marks.setdefault(name, {})[name_of(row)] = scores.weighted_f1
        names = [name_of(row) for row in shown]
        return ScorePanel(title=title, label="weighted F1", rows=names, marks=marks)

    def tested_on(row: TransferRow) -> str:
        return "class and data set\nindependent" if row.key == WEIGHED else row.tested_on

    views = name_views(results)
    return [
        panel(
            "Trained on one", (WITHIN, ACROSS), lambda row: f"{row.trained_on} → {row.tested_on}"
        ),
        panel("Trained on both", (TOGETHER, MOVED), tested_on),
        ScorePanel(
            title="The data set itself",
            label="area under the ROC curve (0.5: chance)",
            rows=["which data set"],
            marks={name: {"which data set": results.origin[key]} for name, key in views.items()},
            lowest=0.5,
        ),
    ]


def pooled_panel(results: TransferResults) -> ScorePanel:
    """Return the panel that shows the pooled score and its parts on one axis."""
    views = list(name_views(results).items())
    shown = dict([views[0], views[-1]])
    first, second = results.datasets
    rows = {
        "both data sets, pooled": (TOGETHER, BOTH),
        **{f"the {name} cells": (TOGETHER, name) for name in (first, second)},
        "class and data set independent": (TOGETHER, WEIGHED),
        **{f"the {name} cells, times moved": (MOVED, name) for name in (first, second)},
        **{f"both, {name}": (name, BOTH) for name in HIDDEN},
        **{f"{name}, left out of training": (ACROSS, name) for name in (first, second)},
    }
    marks: dict[str, dict[str, Interval]] = {title: {} for title in shown}
    for row, (training, cells) in rows.items():
        for title, (features, times) in shown.items():
            key = TransferKey(features=features, times=times, training=training, tested_on=cells)
            if (scores := results.scores.get(key)) is not None:
                name = f"{row}\nn = {scores.cells:,}"
                marks[title][name] = scores.weighted_f1
    order = {name: at for at, name in enumerate(rows)}
    names = {name for found in marks.values() for name in found}
    return ScorePanel(
        title="What the pooled score hides",
        label="weighted F1 (0 to 1)",
        rows=sorted(names, key=lambda name: order[name.partition("\n")[0]]),
        marks=marks,
    )


def _join_predictions(carried: Sequence[CarryOver]) -> Predictions:
    """Return the predictions of the selected recipes, one data set after the other."""
    parts = [each.predictions_by(each.recipe) for each in carried]
    return Predictions(
        specimen_id=np.concatenate([part.specimen_id for part in parts]),
        dataset=np.concatenate([part.dataset for part in parts]),
        truth=np.concatenate([part.truth for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        donor_id=np.concatenate([part.donors for part in parts]),
    )


def _to_dict(results: TransferResults) -> dict[str, Any]:
    return {
        "datasets": list(results.datasets),
        "scores": [{**asdict(key), **score.to_dict()} for key, score in results.scores.items()],
        "origin": [
            {"features": features, "times": times, "auc": asdict(each)}
            for (features, times), each in results.origin.items()
        ],
        "aligned_less_absolute": {name: asdict(drop) for name, drop in results.drops.items()},
        "disputed": results.disputed if results.has_metadata else None,
        "carried_over": [
            {
                "trained_on": carried.trained_on,
                "tested_on": carried.tested_on,
                "recipe": asdict(carried.recipe),
                "in_worlds": float(carried.in_worlds[carried.chosen]),
                "agreement": carried.agreement(),
                **chosen.to_dict(),
                "uses": "features of the tested cells, without labels",
                "plain": plain.to_dict(),
                "gain": asdict(carried.gain),
            }
            for carried, plain, chosen in zip(
                results.carried, results.plain_scores, results.carried_scores, strict=True
            )
        ],
    }


def describe_recipes(carried: Sequence[CarryOver]) -> Iterator[str | Table]:
    """Yield the selection of recipes, and the selected recipe and its parts in each direction."""
    yield (
        f"{len(RECIPES)} recipes were tried each way: which features, on which scale, with which "
        "shares of classes, by LightGBM and extra trees together. None uses a class of the other "
        "data set. Scales, weights and shares are estimated from the unlabelled features of the "
        "test cells themselves: on new cells of that data set the scores may be lower. The plain "
        "recipe uses none of them. The recipe was chosen on simulated data sets: half of the "
        "training cells are used for training, the others are drawn with random shares of classes, "
        "and every feature is shifted, stretched and missing as much as features of the real other "
        "data set are. The recipe with the best mean of weighted F1 and balanced accuracy there "
        "was chosen; the scores on the classes of the real other data set were measured afterwards."
    )
    for each in carried:
        way = f"{each.trained_on} → {each.tested_on}"
        scores = each.scores()
        best = int(np.argmax([one.weighted_f1.value for one in scores]))
        agreement = each.agreement()
        ranks = (
            "all recipes are equally good"
            if math.isnan(agreement)
            else "simulated and real cells rank the recipes with a correlation of "
            f"{agreement:.2f} (Spearman)"
        )
        yield (
            f"{way}, chosen: {each.recipe.in_words()}. In hindsight: {ranks}; the best of all "
            f"would have been ({RECIPES[best].in_words()}), weighted F1 "
            f"{scores[best].weighted_f1.value:.3f}."
        )
        yield _step_table(each, scores, way)


def _step_table(carried: CarryOver, scores: Sequence[TransferScores], way: str) -> Table:
    lines: list[list[object]] = []
    for name, recipe in list_steps(carried.recipe).items():
        at = RECIPES.index(recipe)
        values = [carried.in_worlds[at], *(getattr(scores[at], one).value for one in SHOWN_SCORES)]
        lines.append([name, *(f"{value:.3f}" for value in values), recipe.in_words()])
    return Table(
        columns=["recipe", "simulated data sets", *SHOWN_SCORES.values(), "in words"],
        rows=lines,
        caption=f"{way}: the plain recipe, each choice alone, all together.",
    )


def list_recipes(carried: Sequence[CarryOver]) -> Iterator[dict[str, object]]:
    """Yield every recipe in both directions, with scores on simulated data sets and real cells."""
    for each in carried:
        for recipe, in_worlds, scores in zip(RECIPES, each.in_worlds, each.scores(), strict=True):
            yield {
                "trained_on": each.trained_on,
                "tested_on": each.tested_on,
                **asdict(recipe),
                "in_worlds": float(in_worlds),
                **{name: getattr(scores, name).value for name in SHOWN_SCORES},
            }
