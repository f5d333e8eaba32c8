"""What TRAIN and TEST leave to look at: figures, predictions and report.html."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.types import Floats
from sts.evaluation.calibration import Calibration
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import POOLED, Scores
from sts.reports.blocks import Block, Code, Picture, Section, Table
from sts.reports.calibration import calibration_section
from sts.reports.figures.confusion import draw_confusion
from sts.reports.page import write_page
from sts.reports.predictions import write_predictions
from sts.reports.search import search_blocks
from sts.reports.tables import (
    class_table,
    headline,
    notes_on_scores,
    score_table,
    settings_table,
)
from sts.reports.trained import all_models_section, out_of_fold_section
from sts.search.trials import SearchResult
from sts.studies.baseline.settings import TrainJob
from sts.tabular.checkpoint import BaselineCard

PREDICTIONS: Final = "predictions.csv"
CAVEAT: Final = (
    "The pooled figure never stands alone: class and data set of origin hang together in these "
    "cells, so a classifier may gain by telling where a cell was recorded. Compare the columns."
)
ABSOLUTE: Final = (
    "The times are absolute sweep times, as published: the stimulus begins at 1.02 s in PatchClamp "
    "and at 0.50 s in PatchSeq, so that they tell the data set. Use such a model to reproduce, not "
    "to classify."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """A model's predictions of held-out cells and their scores, pooled and by data set."""

    predictions: Predictions
    scores: dict[str, Scores]


@dataclass(frozen=True, kw_only=True, eq=False)
class Validated:
    """What the folds of the best trial say."""

    searched: SearchResult
    logits: Floats
    """Of the training cells, (cells, classes), each by the model that did not see it."""
    out_of_fold: Predictions
    """The same, calibrated."""
    scores: dict[str, Scores]
    """Of these, pooled and by data set."""


def write_test_report(
    run: Run,
    card: BaselineCard,
    evaluated: Evaluated,
    *,
    more: Sequence[Section] = (),
    job: TrainJob | None = None,
) -> None:
    """Write everything about an evaluation on held-out cells."""
    write_predictions(run.path / PREDICTIONS, evaluated.predictions)
    matrix = draw_confusion(run.figures / "confusion", evaluated.scores)
    blocks: list[Block] = [
        headline(evaluated.scores[POOLED]),
        CAVEAT,
        *([ABSOLUTE] if card.times == "absolute" else []),
        score_table(evaluated.scores),
        Picture(files=matrix, caption="Held-out cells: true class in rows, predicted in columns."),
        class_table(evaluated.scores),
        *notes_on_scores(evaluated.scores),
    ]
    again: list[Section] = [] if job is None else [_how_to_repeat(job, card)]
    sections = [Section("Holdout", blocks), *more, Section("Settings", [_settings(card)]), *again]
    write_page(
        run.path / "report.html",
        f"{card.name}, {card.features} features",
        subtitle=f"{len(card.names)} features, times from the {_origin(card)}",
        sections=sections,
    )


def _origin(card: BaselineCard) -> str:
    return "stimulus onset" if card.times == "onset" else "begin of the sweep"


def _settings(card: BaselineCard) -> Table:
    settings = to_dict(card)
    for name in ("scores", "formulas", "names", "probe", "sha256"):
        settings.pop(name)
    return settings_table(settings)


def _how_to_repeat(job: TrainJob, card: BaselineCard) -> Section:
    command = ["python source/baseline_pipeline.py TRAIN", f"--model {job.model}"]
    if job.published:
        command.append("--published")
    else:
        command.append(f"--features {job.chosen.title}")
    command += [f"--times {job.chosen.times}", f"--seed {job.seed}"]
    if job.fixed:
        command.append("--settings SETTINGS.json")
    else:
        command.append(f"--trials {job.search.trials} --folds {job.search.folds}")
    versions = ", ".join(f"{name} {number}" for name, number in card.versions.items())
    said = (
        f"With the same cells (training cells {card.data['training_fingerprint']}), seed and "
        f"releases ({versions}) this gives the same report. The settings that were found:"
    )
    return Section(
        "How to repeat it", [Code(" ".join(command)), said, Code(json.dumps(card.settings))]
    )


def training_sections(
    run: Run, validated: Validated, calibration: Calibration, *, models: Path
) -> list[Section]:
    """Draw the calibration and the comparison of models, and say what is to be seen."""
    searched = validated.searched
    blocks = search_blocks(run.figures, searched)
    return [
        out_of_fold_section(validated.scores, len(searched.trials), blocks),
        calibration_section(run, calibration),
        all_models_section(run.figures, models),
    ]
