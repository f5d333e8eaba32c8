"""What --transfer leaves to look at: one table, one figure, one paragraph, and the attempt."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from sts.base.files import write_csv
from sts.base.runs import Run
from sts.evaluation.bootstrap import Interval
from sts.evaluation.predictions import Predictions
from sts.evaluation.transfer import TransferScores
from sts.reports.figures.scores import ScorePanel, draw_transfer
from sts.reports.page import Code, Picture, Section, Table, write_page
from sts.reports.predictions import write_predictions
from sts.studies.classify.transfer.attempts import Attempt, steps_to
from sts.studies.classify.transfer.crossing import ABSOLUTE, ACROSS, EVEN, MOVED, POOLED, WITHIN
from sts.studies.classify.transfer.findings import (
    BOTH,
    UNDISPUTED,
    WEIGHED,
    Findings,
    Key,
    TransferJob,
)
from sts.studies.classify.transfer.recipes import RECIPES
from sts.studies.classify.transfer.words import USES_TESTED_CELLS, paragraph

SCORES: Final = {"weighted_f1": "weighted F1", "balanced_accuracy": "balanced accuracy"}
RECIPE_COLUMNS: Final = ("trained_on", "tested_on", "fit", "scale", "shares", "in_worlds", *SCORES)
CARRIED: Final = "carried over"
# Beside it: the same classifiers, to which the other data set is not shown.
NOT_CARRIED: Final = "same kind, plain"
NO_WITNESSES: Final = (
    "No e-types and no metadata of the Allen Institute are here that could contradict a label: "
    "fetch them with `data_pipeline.py fetch etypes` to see the scores without such cells."
)


@dataclass(frozen=True, kw_only=True)
class TransferRow:
    """A line of the table: what was trained on what is tested on what."""

    trained_on: str
    tested_on: str
    training: str
    key: str


def list_rows(found: Findings) -> list[TransferRow]:
    """Return the lines of the table in their order."""
    rows = [_row(BOTH, name, POOLED, name) for name in (BOTH, *found.datasets)]
    rows += [
        _row(BOTH, "both, weighed until class and data set are independent", POOLED, WEIGHED),
        _row("both, weighed so too", "the same", EVEN, WEIGHED),
    ]
    rows += [_row(BOTH, f"{name}, times moved", MOVED, name) for name in found.datasets]
    rows += [_row(name, name, WITHIN, name) for name in found.datasets]
    rows += [_row(_other(found, name), name, ACROSS, name) for name in found.datasets[::-1]]
    for name in (name for name in found.datasets if found.disputed[name]):
        shown = f"{name} without {found.disputed[name]} disputed labels"
        rows += [_row(BOTH, shown, POOLED, name + UNDISPUTED)]
        rows += [_row(_other(found, name), shown, ACROSS, name + UNDISPUTED)]
    return rows


def _row(trained_on: str, tested_on: str, training: str, key: str) -> TransferRow:
    return TransferRow(trained_on=trained_on, tested_on=tested_on, training=training, key=key)


def _other(found: Findings, name: str) -> str:
    return next(each for each in found.datasets if each != name)


def series_of(found: Findings) -> dict[str, tuple[str, str]]:
    """Return the views by how they are called."""
    return {
        f"{features}, absolute times" if times == ABSOLUTE else features: (features, times)
        for features, times in found.views
    }


def find_scores(found: Findings, row: TransferRow) -> dict[str, TransferScores]:
    """Return the scores in a line of the table, by series."""
    keys = {
        name: Key(features=features, times=times, training=row.training, tested_on=row.key)
        for name, (features, times) in series_of(found).items()
    }
    scores = {name: found.scores[key] for name, key in keys.items() if key in found.scores}
    for attempt, plain, carried in zip(found.attempts, found.plain, found.carried, strict=True):
        if row.training == ACROSS and row.key == attempt.tested_on:
            scores |= {NOT_CARRIED: plain, CARRIED: carried}
    return scores


def transfer_table(found: Findings) -> Table:
    """Return the one table: both scores of every line, a column for every series."""
    series = [*series_of(found), *([NOT_CARRIED, CARRIED] if found.attempts else [])]
    lines: list[list[object]] = []
    for row in list_rows(found):
        scores = find_scores(found, row)
        if not scores:
            continue
        cells = round(next(iter(scores.values())).effective_cells)
        for name, title in SCORES.items():
            texts = [
                getattr(scores[one], name).in_words() if one in scores else "–" for one in series
            ]
            lines.append([row.trained_on, row.tested_on, cells, title, *texts])
    told = {name: found.origin[key].in_words() for name, key in series_of(found).items()}
    lines.append(
        ["both", "which data set is it?", None, "AUC", *(told.get(one, "–") for one in series)]
    )
    return Table(
        columns=["trained on", "tested on", "effective cells", "score", *series],
        rows=lines,
        caption="Training cells only, each predicted by a model that was not fitted on it. In "
        "brackets: 95 % intervals, bootstrap within class and data set."
        + (f" {USES_TESTED_CELLS}" if found.attempts else ""),
    )


def write_transfer_report(run: Run, job: TransferJob, found: Findings) -> None:
    """Write the report, the table as CSV, every recipe, and what the chosen ones say of cells."""
    _write_files(run, found)
    picture = draw_transfer(run.figures / "transfer", panels_of(found))
    words = paragraph(found)
    caption = f"The same models; lines are 95 % intervals. {USES_TESTED_CELLS}"
    notes = [] if found.has_witnesses else [NO_WITNESSES]
    sections = [
        Section("In one paragraph", [words]),
        Section("In one figure", [Picture(files=picture, caption=caption)]),
        Section("In one table", [transfer_table(found), *notes]),
        Section("The attempt to carry a classifier over", list(attempt_blocks(found.attempts))),
        Section("How to repeat it", [Code(_command(job))]),
    ]
    write_page(
        run.path / "report.html",
        f"Between {' and '.join(found.datasets)}",
        subtitle="Does it know neurons, or data sets?",
        sections=sections,
    )
    run.report({"paragraph": words, **_as_dict(found)})


def panels_of(found: Findings) -> list[ScorePanel]:
    """Return the figure: on one for the other, on both, and the data set itself."""
    rows = [row for row in list_rows(found) if UNDISPUTED not in row.key]
    across = [row for row in rows if row.training in (WITHIN, ACROSS)]
    pooled = [row for row in rows if row.training in (POOLED, MOVED)]
    told = {name: {"which data set": found.origin[key]} for name, key in series_of(found).items()}
    return [
        _panel("Trained on one", found, across, lambda row: f"{row.trained_on} → {row.tested_on}"),
        _panel("Trained on both", found, pooled, lambda row: _tested(row)),
        ScorePanel(
            title="The data set itself",
            label="area under the ROC curve (0.5: cannot be told)",
            rows=["which data set"],
            marks=told,
            lowest=0.5,
        ),
    ]


def _tested(row: TransferRow) -> str:
    return "class and data set\nindependent" if row.key == WEIGHED else row.tested_on


def _panel(title: str, found: Findings, rows: list[TransferRow], name_of: Any) -> ScorePanel:
    marks: dict[str, dict[str, Interval]] = {}
    for row in rows:
        for name, scores in find_scores(found, row).items():
            marks.setdefault(name, {})[name_of(row)] = scores.weighted_f1
    names = [name_of(row) for row in rows if find_scores(found, row)]
    return ScorePanel(title=title, label="weighted F1", rows=names, marks=marks)


def _command(job: TransferJob) -> str:
    return f"python source/baseline_pipeline.py --transfer --model {job.model} --seed {job.seed}"


def _write_files(run: Run, found: Findings) -> None:
    table = transfer_table(found)
    columns = [str(name) for name in table.columns]
    lines = (dict(zip(columns, line, strict=True)) for line in table.rows)
    write_csv(run.path / "transfer.csv", columns, lines)
    write_csv(run.path / "recipes.csv", RECIPE_COLUMNS, recipe_lines(found.attempts))
    said = [attempt.of(attempt.recipe) for attempt in found.attempts]
    write_predictions(run.path / "predictions.csv", _joined(said))


def _joined(parts: list[Predictions]) -> Predictions:
    return Predictions(
        specimen_id=np.concatenate([each.specimen_id for each in parts]),
        dataset=np.concatenate([each.dataset for each in parts]),
        truth=np.concatenate([each.truth for each in parts]),
        probabilities=np.concatenate([each.probabilities for each in parts]),
        donor_id=np.concatenate([each.donors for each in parts]),
    )


def _as_dict(found: Findings) -> dict[str, Any]:
    return {
        "datasets": list(found.datasets),
        "scores": [{**asdict(key), **each.to_dict()} for key, each in found.scores.items()],
        "origin": [
            {"features": features, "times": times, "auc": asdict(each)}
            for (features, times), each in found.origin.items()
        ],
        "aligned_less_absolute": {name: asdict(each) for name, each in found.drops.items()},
        "disputed": found.disputed if found.has_witnesses else None,
        "carried_over": [
            {
                "trained_on": attempt.trained_on,
                "tested_on": attempt.tested_on,
                "recipe": asdict(attempt.recipe),
                "in_worlds": float(attempt.in_worlds[attempt.chosen]),
                "agreement": attempt.agreement(),
                **carried.to_dict(),
                "uses": "features of the tested cells, without labels",
                "plain": plain.to_dict(),
                "gain": asdict(attempt.gain),
            }
            for attempt, plain, carried in zip(
                found.attempts, found.plain, found.carried, strict=True
            )
        ],
    }


def attempt_blocks(found: Sequence[Attempt]) -> Iterator[str | Table]:
    """Yield how recipes were chosen, and for each way what was chosen and what each choice did."""
    yield (
        f"{len(RECIPES)} recipes were tried each way: which features, on which scale, with which "
        "shares of classes, by LightGBM and extra trees together. None sees a class of the other "
        "data set; scales, weights and shares come from its unlabelled features, which are those "
        "of the very cells that are tested: on new cells of that data set the scores may be lower. "
        "The plain recipe sees nothing of them. The recipe was "
        "chosen on made-up data sets: half of the training cells are trained on, the others are "
        "drawn with random shares of classes, and every feature is shifted, stretched and missing "
        "as much as features of the real other data set are. The best mean of weighted F1 and "
        "balanced accuracy there is what counts; what the other data set's classes say was looked "
        "at afterwards only."
    )
    for attempt in found:
        where = f"{attempt.trained_on} → {attempt.tested_on}"
        yield f"{where}, chosen: {attempt.recipe.in_words()}. {_in_hindsight(attempt)}"
        yield _steps(attempt, where)


def _in_hindsight(attempt: Attempt) -> str:
    scores = [each.weighted_f1.value for each in attempt.scores()]
    best = int(np.argmax(scores))
    agreement = attempt.agreement()
    alike = (
        "all recipes do alike"
        if math.isnan(agreement)
        else "the worlds rank the recipes as the real cells do with a correlation of "
        f"{agreement:.2f} (Spearman)"
    )
    return (
        f"In hindsight: {alike}; the best of all would have been ({RECIPES[best].in_words()}), "
        f"weighted F1 {scores[best]:.3f}."
    )


def _steps(attempt: Attempt, where: str) -> Table:
    scores = attempt.scores()
    lines: list[list[object]] = []
    for name, recipe in steps_to(attempt.recipe).items():
        at = RECIPES.index(recipe)
        values = [attempt.in_worlds[at], *(getattr(scores[at], one).value for one in SCORES)]
        lines.append([name, *(f"{value:.3f}" for value in values), recipe.in_words()])
    return Table(
        columns=["recipe", "in the worlds", *SCORES.values(), "in words"],
        rows=lines,
        caption=f"{where}: the plain recipe, each choice alone, all together.",
    )


def recipe_lines(found: Sequence[Attempt]) -> Iterator[dict[str, object]]:
    """Yield every recipe each way, with its scores in the worlds and on the real cells."""
    for attempt in found:
        for recipe, worlds, scores in zip(
            RECIPES, attempt.in_worlds, attempt.scores(), strict=True
        ):
            values = {name: getattr(scores, name).value for name in SCORES}
            about = {"trained_on": attempt.trained_on, "tested_on": attempt.tested_on}
            yield {**about, **asdict(recipe), "in_worlds": float(worlds), **values}
