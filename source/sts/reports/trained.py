"""The sections of a page about a trained model: search, calibration, scores, other models."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState, create_trial
from optuna.visualization import matplotlib as drawings

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.base.model_files import CARD
from sts.base.runs import Run
from sts.evaluation.calibration import Calibration
from sts.evaluation.scores import POOLED, Interval, Scores
from sts.reports.figures.scores import COMPARED_SCORES, ModelScores, draw_bars
from sts.reports.figures.style import save_foreign
from sts.reports.figures.training import draw_reliability
from sts.reports.page import Block, Picture, Section, Table
from sts.reports.tables import score_table
from sts.search.optuna_trials import distributions_of
from sts.search.trials import SearchResult, TrialRecord

logger = logging.getLogger("sts")

# Names of the two kinds of scores in a card.
HOLDOUT: Final = "holdout"
BEST_TRIAL: Final = "out_of_fold_of_best_trial"
# Most trials in the table of a search.
MOST_TRIALS: Final = 10
SEARCH_SCORE: Final = "mean balanced accuracy"
STATES: Final = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
HISTORY: Final = "Every trial that scored all folds, in order, and the best so far (Optuna)."
IMPORTANCE: Final = (
    "How much of the differences between trials each setting explains (functional ANOVA by "
    "Optuna). With few trials, or trials near the best one only, this is unreliable."
)


def name_out_of_fold(trials: int) -> str:
    """Return the name of the scores of training cells by the folds, after a number of trials."""
    chosen = "" if trials < 2 else f", best of {trials} trials (too high)"
    return f"training cells, out of fold{chosen}"


def describe_out_of_fold(trials: int) -> str:
    """Return an explanation of these scores."""
    cells = "Training cells, each predicted by the model of a fold that was not fitted on it."
    if trials < 2:
        return cells
    return (
        f"{cells} The best of {trials} trials was chosen by these same cells, so these scores are "
        "too high: the scores under Holdout show how good the model is."
    )


def out_of_fold_section(scores: Mapping[str, Scores], trials: int, more: list[Block]) -> Section:
    """Return the section of the scores by the folds, with their explanation."""
    title = "Out of fold" if trials < 2 else f"Out of fold, best of {trials} trials"
    return Section(title, [describe_out_of_fold(trials), score_table(scores), *more])


def scores_for_card(
    out_of_fold: Mapping[str, Scores], holdout: Mapping[str, Scores], *, trials: int
) -> dict[str, Any]:
    """Return the scores for the card of a model, after a search of so many trials."""

    def shorten(scores: Scores) -> dict[str, Any]:
        about = {"cells": scores.cells, "fingerprint": scores.fingerprint}
        return about | {name: asdict(getattr(scores, name)) for name in COMPARED_SCORES}

    return {
        HOLDOUT: {name: shorten(each) for name, each in holdout.items()},
        BEST_TRIAL: {
            "trials": trials,
            "scores": {name: shorten(each) for name, each in out_of_fold.items()},
        },
    }


@dataclass(frozen=True, kw_only=True)
class SameCells:
    """Models that were scored in the same way on the same cells."""

    part: str
    """`HOLDOUT` or `BEST_TRIAL`."""
    fingerprint: str
    """Digest of the specimen ids."""
    cells: int
    by_dataset: Mapping[str, int]
    """Cells of each data set."""
    models: list[ModelScores] = field(default_factory=list)

    def in_words(self) -> str:
        """Return which cells these are, such as "1,118 held-out cells (PatchSeq 829, ...)"."""
        of = ", ".join(f"{name} {cells:,}" for name, cells in self.by_dataset.items())
        origins = f" ({of})" if of else ""
        if self.part == HOLDOUT:
            return f"{self.cells:,} held-out cells{origins}"
        return f"{self.cells:,} training cells, out of fold{origins}"


def models_by_cells(models: Path) -> list[SameCells]:
    """Return the trained models of a workspace, grouped by the cells of their scores.

    Groups of held-out cells come first, and of these the groups of most models.
    """
    groups: dict[tuple[str, str], SameCells] = {}
    for path in sorted(models.glob(f"*_best_models/*/{CARD}")):
        try:
            scored = list(_read_card_scores(path))
        except (StsError, AttributeError, TypeError, KeyError, ValueError):
            continue  # a model of another program, or one without scores, has no bar
        for each in scored:
            group = groups.setdefault((each.part, each.fingerprint), replace(each, models=[]))
            group.models.extend(each.models)
    return sorted(groups.values(), key=lambda each: (each.part != HOLDOUT, -len(each.models)))


def _read_card_scores(path: Path) -> Iterator[SameCells]:
    """Yield the scores in a card: of held-out cells, and of training cells out of fold."""
    stored = read_json(path).get("scores") or {}
    name = path.parts[-3].removesuffix("_best_models")
    name = name if path.parts[-2] == "NONE" else f"{name} {path.parts[-2]}"
    best = stored.get(BEST_TRIAL) or {}
    for part, scores in ((HOLDOUT, stored.get(HOLDOUT)), (BEST_TRIAL, best.get("scores"))):
        if scores:
            searched = part == BEST_TRIAL and best["trials"] > 1
            chosen = f" (best of {best['trials']} trials)" if searched else ""
            intervals = {
                group: {
                    key: Interval.from_dict(score[key]) for key in score if key in COMPARED_SCORES
                }
                for group, score in scores.items()
            }
            pooled = intervals.pop(POOLED)
            yield SameCells(
                part=part,
                fingerprint=scores[POOLED]["fingerprint"],
                cells=int(scores[POOLED]["cells"]),
                by_dataset={interval: int(scores[interval]["cells"]) for interval in intervals},
                models=[ModelScores(name=f"{name}{chosen}", scores=pooled, by_dataset=intervals)],
            )


def all_models_section(figures: Path, models: Path) -> Section:
    """Draw the scores of all trained models of a workspace, a figure for each group of cells."""
    explanation = (
        "A figure compares only models that were scored on the same cells. The code after the word "
        "cells is a digest of their specimen ids."
    )
    blocks: list[Block] = [explanation]
    for number, group in enumerate(models_by_cells(models), start=1):
        files = draw_bars(figures / f"models-{number}", group.models, cells=group.in_words())
        caption = (
            f"{group.in_words()}; {len(group.models)} "
            f"{'model' if len(group.models) == 1 else 'models'}; cells {group.fingerprint[:8]}."
        )
        if group.part == BEST_TRIAL:
            caption += " Scores that chose the best of several trials are too high."
        blocks.append(Picture(files=files, caption=caption))
    return Section("All models", blocks)


def log_calibration(calibration: Calibration) -> None:
    """Write how a model was calibrated to the log; warn if no temperature is applied."""
    level = logging.INFO if calibration.is_applied else logging.WARNING
    logger.log(level, "%s", calibration.in_words())


def calibration_section(run: Run, calibration: Calibration) -> Section:
    """Draw how often a model is correct by its confidence, and state its temperature."""
    after = calibration.after if calibration.is_applied else None
    figure = draw_reliability(
        run.figures / "calibration",
        calibration.before,
        rng=np.random.default_rng(0),
        after=after,
        temperature=None if after is None else calibration.temperature,
    )
    shown = (calibration.before if after is None else after).error(np.random.default_rng(0))
    perfect = (
        f"With these {calibration.cells:,} cells, perfect calibration would show a calibration "
        f"error of {shown.perfect_mean:.3f} on the mean, and one below {shown.perfect_high:.3f} "
        "in 95 % of cases."
    )
    caption = "Cells kept aside from training: how often the model is correct, by its confidence."
    return Section(
        "Calibration", [calibration.in_words(), perfect, Picture(files=figure, caption=caption)]
    )


def search_blocks(folder: Path, searched: SearchResult) -> list[Block]:
    """Draw the figures of a search into a folder; return them with the table of its best trials."""
    blocks: list[Block] = [_trial_table(searched)]
    values = {trial.value for trial in searched.trials if trial.value is not None}
    if len(values) < 2 or not searched.space:
        return blocks
    study = make_optuna_study(searched)
    history = _draw(
        lambda: drawings.plot_optimization_history(study, target_name=SEARCH_SCORE),
        folder / "history",
    )
    importance = _draw(
        lambda: drawings.plot_param_importances(
            study, evaluator=FanovaImportanceEvaluator(seed=0), target_name=SEARCH_SCORE
        ),
        folder / "importance_of_settings",
    )
    return [
        *blocks,
        Picture(files=history, caption=HISTORY),
        Picture(files=importance, caption=IMPORTANCE),
    ]


def make_optuna_study(searched: SearchResult) -> optuna.Study:
    """Return a search as a study of Optuna in memory, for Optuna's figures."""
    study = optuna.create_study(direction="maximize")
    for trial in searched.trials:
        # A trial without a score may lack settings that were never sampled.
        known = trial.state in STATES
        study.add_trial(
            create_trial(
                state=STATES.get(trial.state, TrialState.FAIL),
                params=dict(trial.settings) if known else {},
                distributions=distributions_of(searched.space) if known else {},
                value=trial.value,
            )
        )
    return study


def _draw(draw: Callable[[], Any], stem: Path) -> list[Path]:
    with warnings.catch_warnings():
        # Optuna warns that its figures by matplotlib are experimental.
        warnings.simplefilter("ignore")
        return save_foreign(draw, stem)


def _trial_table(searched: SearchResult) -> Table:
    ranked: list[TrialRecord] = sorted(searched.trials, key=lambda trial: -(trial.value or 0.0))
    return Table(
        columns=["trial", "state", SEARCH_SCORE, "settings"],
        rows=[
            [trial.number, trial.state, trial.value, _list_settings(trial.settings)]
            for trial in ranked[:MOST_TRIALS]
        ],
        caption=f"The best of {len(ranked)} trials.",
    )


def _list_settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in settings.items()
    )
