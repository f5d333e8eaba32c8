"""What TRAIN and TEST leave to look at: figures, predictions, report.json and report.html."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.evaluation.calibration import Calibration
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import POOLED, Scores
from sts.networks.checkpoint import ModelCard
from sts.reports.blocks import Block, Picture, Section
from sts.reports.calibration import calibration_section
from sts.reports.figures.confusion import draw_confusion
from sts.reports.figures.curves import FoldCurves, draw_curves
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

PREDICTIONS: Final = "predictions.csv"
CAVEAT: Final = (
    "The pooled figure never stands alone: class and data set of origin hang together in these "
    "cells, so a network may gain by telling where a cell was recorded. Compare the columns."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """A model's predictions of held-out cells and their scores, pooled and by data set."""

    predictions: Predictions
    scores: dict[str, Scores]


def write_test_report(
    run: Run, card: ModelCard, evaluated: Evaluated, *, more: Sequence[Section] = ()
) -> None:
    """Write everything about an evaluation on held-out cells."""
    write_predictions(run.path / PREDICTIONS, evaluated.predictions)
    matrix = draw_confusion(run.figures / "confusion", evaluated.scores)
    blocks: list[Block] = [
        headline(evaluated.scores[POOLED]),
        CAVEAT,
        score_table(evaluated.scores),
        Picture(files=matrix, caption="Held-out cells: true class in rows, predicted in columns."),
        class_table(evaluated.scores),
        *notes_on_scores(evaluated.scores),
    ]
    sections = [Section("Holdout", blocks), *more, Section("Settings", _settings(card))]
    weights = card.architecture.weights
    write_page(
        run.path / "report.html",
        f"{card.name}, {card.architecture.freeze}",
        subtitle=f"{card.origin}, from {'random' if weights == 'none' else weights} weights",
        sections=sections,
    )


def _settings(card: ModelCard) -> list[Block]:
    settings = to_dict(card)
    for name in ("scores", "versions", "data"):
        settings.pop(name)
    return [settings_table(settings)]


def training_sections(
    run: Run,
    searched: SearchResult,
    *,
    out_of_fold: Mapping[str, Scores],
    calibration: Calibration,
    models: Path,
) -> list[Section]:
    """Draw the curves, the calibration and the comparison of models, and say what is to be seen."""
    folds = [_fold_curves(fold.extras) for fold in searched.best_trial.folds]
    curves = draw_curves(run.figures / "curves", folds)
    more: list[Block] = [
        Picture(files=curves, caption="Every fold, with mean and spread."),
        *search_blocks(run.figures, searched),
    ]
    return [
        out_of_fold_section(out_of_fold, len(searched.trials), more),
        calibration_section(run, calibration),
        all_models_section(run.figures, models),
    ]


def _fold_curves(extras: Mapping[str, Any]) -> FoldCurves:
    epochs = extras["curves"]
    return FoldCurves(
        train_loss=[epoch["train_loss"] for epoch in epochs],
        train_accuracy=[epoch["train_accuracy"] for epoch in epochs],
        validation_loss=[epoch["validation_loss"] for epoch in epochs],
        validation_accuracy=[epoch["validation_accuracy"] for epoch in epochs],
        best_epoch=extras["best_epoch"],
    )
