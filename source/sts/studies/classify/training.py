"""TRAIN: search on folds, refit, calibrate, open the holdout once, leave a model and a report."""

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from sts.base.files import make_folder
from sts.base.runs import Run, start_run
from sts.base.settings import to_dict
from sts.base.tracking import Mode, Tracker, track
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.evaluation.calibration import Calibration, calibrate
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import POOLED, Scores, by_dataset
from sts.reports.page import Block, Section
from sts.reports.predictions import write_predictions
from sts.reports.trained import BEST_TRIAL, log_calibration, scores_for_card
from sts.search.address import read_address
from sts.search.search import search
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.classify.cohort import Cohort, Fold
from sts.studies.classify.models import FittedModel
from sts.studies.classify.pages import Evaluated, training_sections, write_test_report
from sts.studies.classify.settings import TrainJob

logger = logging.getLogger("sts")

# A fit that was killed goes on from here; it is kept until the run is complete.
REFIT: Final = "refit.safetensors"
# What the folds say of the training cells, for others to join.
OUT_OF_FOLD: Final = "out_of_fold.csv"
# Logits as they are kept with a fold: enough digits to calibrate by.
DIGITS: Final = 5
# What a report keeps of a fold besides its score: same settings, same seed, same text.
KEPT: Final = ("best_epoch",)

Score = Callable[[dict[str, Any], int], FoldScore]


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment(ABC):
    """A kind of model and the cells to train it on: what every stage of TRAIN works with."""

    job: TrainJob
    cohort: Cohort[Any]
    folds: list[Fold]
    fit_rows: Ints
    """What the final model is fitted on."""
    kept_rows: Ints
    """Training cells that it is calibrated on, and that say how far is too far."""

    study: ClassVar[str]

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Return what scores depend on besides what is searched."""

    @abstractmethod
    def score(self, found: dict[str, Any], number: int) -> FoldScore:
        """Fit on one fold and return its balanced accuracy."""

    @abstractmethod
    def refit(
        self, found: dict[str, Any], run: Run, tracker: Tracker
    ) -> tuple[FittedModel, Floats]:
        """Return the final model, without temperature and scores, and its logits of `kept_rows`."""

    @abstractmethod
    def predict_out_of_fold(self, searched: SearchResult) -> Predictions:
        """Return what each fold's model says of the cells it scored, calibrated in each fold."""

    @property
    def search_name(self) -> str:
        """Return what the search is called where trials are kept."""
        return self.job.search_name

    @property
    def out_of_fold_rng(self) -> np.random.Generator | None:
        """Return what intervals out of fold are drawn by; None: what those of the holdout are."""
        return None

    @contextlib.contextmanager
    def scoring(self) -> Iterator[Score]:
        """Give the function that the search scores folds by."""
        yield self.score

    def track_trial(self, tracker: Tracker, trial: TrialRecord) -> None:
        """Track a trial, unless the epochs of the refit are tracked instead."""
        return

    def calibrate(self, kept: Floats, searched: SearchResult) -> Calibration:
        """Calibrate the final model on cells that it has not seen, given its logits of them."""
        return calibrate(kept, self.cohort.truth[self.kept_rows])

    def draw_curves(self, run: Run, searched: SearchResult) -> list[Block]:
        """Draw how the folds of the best trial were fitted, where that takes epochs."""
        return []

    def how_to_repeat(self, card: Any) -> list[Section]:
        """Return what a page says of how to get the same again."""
        return []


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What TRAIN found."""

    model: Path
    """The folder of the model."""
    folder: Path
    """The folder of the run."""
    scores: dict[str, Scores]
    """On the holdout, pooled and by data set."""
    out_of_fold: dict[str, Scores]
    """Of the training cells, by the folds of the best trial."""
    trials: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Validated:
    """What the folds of the best trial say, and what cells that the final model has not seen do."""

    searched: SearchResult
    out_of_fold: Predictions
    calibration: Calibration


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredModel:
    """The final model as it is stored, and what it and the folds are worth."""

    model: FittedModel
    rows: Ints
    """Of the holdout."""
    evaluated: Evaluated
    """On these."""
    out_of_fold: dict[str, Scores]


def train(
    workspace: Workspace,
    experiment: Experiment,
    *,
    storage: str | None = None,
    wandb: Mode = "off",
    name: str | None = None,
    beside: AbstractContextManager[None] | None = None,
) -> Trained:
    """Train a model on the cells of an experiment; interrupted, the same call goes on.

    Parameters
    ----------
    name
        Of the model, in place of the one that its folder has by default.
    beside
        What runs while settings are searched, such as other workers.
    """
    # Before the run writes down how it was called: an address is refused while it is in no file.
    read_address(storage)
    job, study = experiment.job, experiment.study
    with start_run(workspace, study=study, what=job.what, settings=job, resume=True) as run:
        tracker = track(wandb, folder=run.path, project=study, name=job.what, settings=job)
        with beside or contextlib.nullcontext():
            searched = look_for_settings(workspace, experiment, storage=storage, tracker=tracker)
        aside = len(experiment.cohort.train_rows) - len(experiment.fit_rows)
        counts = len(experiment.fit_rows), aside
        logger.info("refit on %d training cells, %d are kept aside", *counts)
        model, kept = experiment.refit(searched.best, run, tracker)
        validated = validate(experiment, searched, kept)
        trained = finish(workspace, experiment, run, model, validated, name=name)
        tracker.finish({"balanced_accuracy": trained.scores[POOLED].balanced_accuracy.value})
    return replace(trained, folder=run.final)


def look_for_settings(
    workspace: Workspace,
    experiment: Experiment,
    *,
    storage: str | None = None,
    tracker: Tracker | None = None,
) -> SearchResult:
    """Search by balanced accuracy on the folds of the training cells; others may join in."""
    place: str | Path = storage or workspace.output / experiment.study / "searches.sqlite"
    if isinstance(place, Path):
        make_folder(place.parent)

    def track_trial(trial: TrialRecord) -> None:
        if tracker is not None:
            experiment.track_trial(tracker, trial)

    with experiment.scoring() as score:
        return search(
            score,
            experiment.job.space,
            experiment.job.trials,
            storage=place,
            name=experiment.search_name,
            about=experiment.about,
            on_trial=track_trial,
        )


def validate(experiment: Experiment, searched: SearchResult, kept: Floats) -> Validated:
    """Return what the folds say of the training cells, and calibrate the final model."""
    calibration = experiment.calibrate(kept, searched)
    log_calibration(calibration)
    return Validated(
        searched=searched,
        out_of_fold=experiment.predict_out_of_fold(searched),
        calibration=calibration,
    )


def evaluate_holdout(
    model: FittedModel, cohort: Cohort[Any], rows: Ints, *, rng: np.random.Generator
) -> Evaluated:
    """Return what a model says of held-out cells, and its scores."""
    predictions = cohort.predictions(rows, model.probabilities(rows))
    return Evaluated(predictions=predictions, scores=by_dataset(predictions, rng=rng))


def finish(
    workspace: Workspace,
    experiment: Experiment,
    run: Run,
    model: FittedModel,
    validated: Validated,
    *,
    name: str | None = None,
) -> Trained:
    """Open the holdout, write the model and the report."""
    job, cohort, searched = experiment.job, experiment.cohort, validated.searched
    rng = np.random.default_rng(job.seed)
    rows = cohort.open_holdout(f"TRAIN of {job.what}, {run.final.name}")
    model = model.with_card(temperature=validated.calibration.temperature)
    evaluated = evaluate_holdout(model, cohort, rows, rng=rng)
    out_of_fold = by_dataset(validated.out_of_fold, rng=experiment.out_of_fold_rng or rng)
    trials = len(searched.trials)
    scores = scores_for_card(out_of_fold, evaluated.scores, trials=trials)
    folder = job.folder(workspace.models, name)
    model = model.with_card(scores=scores, data=_data(experiment, rows)).save(folder)
    scored = ScoredModel(model=model, rows=rows, evaluated=evaluated, out_of_fold=out_of_fold)
    _write_report(workspace, experiment, run, validated, scored)
    (run.path / REFIT).unlink(missing_ok=True)
    return Trained(
        model=folder,
        folder=run.path,
        scores=evaluated.scores,
        out_of_fold=out_of_fold,
        trials=trials,
    )


def _write_report(
    workspace: Workspace,
    experiment: Experiment,
    run: Run,
    validated: Validated,
    scored: ScoredModel,
) -> None:
    """Write what there is to look at, the predictions, and report.json."""
    model, rows, searched = scored.model, scored.rows, validated.searched
    explained = model.explain(run, rows, experiment.cohort.truth[rows], seed=experiment.job.seed)
    more = training_sections(
        run,
        searched,
        out_of_fold=scored.out_of_fold,
        calibration=validated.calibration,
        models=workspace.models,
        curves=experiment.draw_curves(run, searched),
    )
    write_test_report(
        run,
        model.describe(),
        scored.evaluated,
        more=[*more, *explained.sections],
        last=experiment.how_to_repeat(model.card),
    )
    write_predictions(run.path / OUT_OF_FOLD, validated.out_of_fold)
    run.report(
        {
            "model": to_dict(model.card),
            "calibration": validated.calibration.to_dict(),
            "holdout": _to_dicts(scored.evaluated.scores),
            BEST_TRIAL: _to_dicts(scored.out_of_fold),
            **explained.report,
            "search": [to_dict(trial) for trial in _without_logits(searched.trials)],
        }
    )


def _to_dicts(scores: Mapping[str, Scores]) -> dict[str, Any]:
    return {name: each.to_dict() for name, each in scores.items()}


def _data(experiment: Experiment, held_out: Ints) -> dict[str, Any]:
    """Return what a card says of the cells."""
    cohort = experiment.cohort
    return {
        "training_cells": len(cohort.train_rows),
        "kept_aside": len(cohort.train_rows) - len(experiment.fit_rows),
        "holdout_cells": len(held_out),
        "training_fingerprint": cohort.fingerprint(),
        "split": cohort.split.origin,
    }


def _without_logits(trials: Sequence[TrialRecord]) -> Iterator[TrialRecord]:
    """Yield the trials as a report holds them."""
    for trial in trials:
        folds = tuple(
            FoldScore(fold.value, {name: fold.extras[name] for name in KEPT if name in fold.extras})
            for fold in trial.folds
        )
        yield replace(trial, folds=folds, duration_s=0.0, worker=None, attempts=0)
