"""What a report shows of a search: its best trials, and two pictures that Optuna draws."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState, create_trial
from optuna.visualization import matplotlib as drawings

from sts.reports.blocks import Block, Picture, Table
from sts.reports.figures.style import save_foreign
from sts.search.sampler import distributions_of
from sts.search.trials import SearchResult, TrialRecord

SHOWN: Final = 10
SCORE: Final = "mean balanced accuracy"
STATES: Final = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
HISTORY: Final = "Every trial that scored all folds, in order, and the best so far (Optuna)."
IMPORTANCE: Final = (
    "How much of the differences between trials each setting explains (functional ANOVA by "
    "Optuna). Few trials, and those near the best, tell little."
)


def search_blocks(folder: Path, searched: SearchResult) -> list[Block]:
    """Draw what a search found into a folder of figures; return what the report shows of it."""
    blocks: list[Block] = [_trial_table(searched)]
    values = {trial.value for trial in searched.trials if trial.value is not None}
    if len(values) < 2 or not searched.space:
        # There is nothing to compare.
        return blocks
    study = study_of(searched)
    history = _draw(
        lambda: drawings.plot_optimization_history(study, target_name=SCORE), folder / "history"
    )
    importance = _draw(
        lambda: drawings.plot_param_importances(
            study, evaluator=FanovaImportanceEvaluator(seed=0), target_name=SCORE
        ),
        folder / "importance_of_settings",
    )
    return [
        *blocks,
        Picture(files=history, caption=HISTORY),
        Picture(files=importance, caption=IMPORTANCE),
    ]


def study_of(searched: SearchResult) -> optuna.Study:
    """Return a search as a study in memory, for Optuna's tools."""
    study = optuna.create_study(direction="maximize")
    for trial in searched.trials:
        # Without a score there may be settings that were never drawn.
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
        # Optuna calls its drawings by matplotlib experimental, and says what they lack.
        warnings.simplefilter("ignore")
        return save_foreign(draw, stem)


def _trial_table(searched: SearchResult) -> Table:
    ranked: list[TrialRecord] = sorted(searched.trials, key=lambda trial: -(trial.value or 0.0))
    return Table(
        columns=["trial", "state", SCORE, "settings"],
        rows=[
            [trial.number, trial.state, trial.value, _in_short(trial.settings)]
            for trial in ranked[:SHOWN]
        ],
        caption=f"The best of {len(ranked)} trials.",
    )


def _in_short(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in settings.items()
    )
