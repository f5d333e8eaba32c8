"""TRAIN: search on folds, refit, calibrate, open the holdout once, leave a model and a report."""

import contextlib
import hashlib
import json
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
from sts.reports.predictions import write_network_features, write_predictions
from sts.reports.trained import BEST_TRIAL, log_calibration, scores_for_card
from sts.search.address import read_address
from sts.search.search import search
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.classify.cohort import Cohort, Evaluated, Fold
from sts.studies.classify.models import FittedModel, TrainJob
from sts.studies.classify.pages import sets_section, training_sections, write_test_report

logger = logging.getLogger("sts")

# The state of the refit, from which a killed run continues; it is deleted when the run is complete.
REFIT: Final = "refit.safetensors"
# Predictions of the training cells by the folds, which other runs can use.
OUT_OF_FOLD: Final = "out_of_fold.csv"
# Number of decimals of the logits stored with a fold: enough for calibration.
LOGIT_DIGITS: Final = 5
# Entries of a fold in a report, in addition to its score; they depend only on settings and seed.
KEPT_EXTRAS: Final = ("best_epoch",)

Score = Callable[[dict[str, Any], int], FoldScore]


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment(ABC):
    """A kind of model and its training cells: the input of every stage of TRAIN."""

    job: TrainJob
    cohort: Cohort[Any]
    folds: list[Fold]
    fit_rows: Ints
    """Training cells for the fit of the final model."""
    kept_rows: Ints
    """Training cells for the calibration and the novelty threshold of the final model."""

    study: ClassVar[str]

    @property
    @abstractmethod
    def depends_on(self) -> dict[str, Any]:
        """Return everything that scores depend on, except the searched settings."""

    @abstractmethod
    def score(self, values: dict[str, Any], number: int) -> FoldScore:
        """Fit on one fold with these values of searched settings; return its balanced accuracy."""

    @abstractmethod
    def refit(
        self, values: dict[str, Any], run: Run, tracker: Tracker
    ) -> tuple[FittedModel, Floats]:
        """Return the final model, without temperature and scores, and its logits of `kept_rows`."""

    @abstractmethod
    def predict_out_of_fold(self, searched: SearchResult) -> Predictions:
        """Return the predictions of each fold's scored cells, calibrated in each fold."""

    @property
    def folds_digest(self) -> str:
        """Return a digest of the rows of the folds, which also depend on the donors."""
        parts = [(each.fit, each.validation, each.scored) for each in self.folds]
        rows = [[part.tolist() for part in fold] for fold in parts]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

    @property
    def search_name(self) -> str:
        """Return the name of the search in the storage of trials; other folds have another."""
        return f"{self.job.search_name}-{self.folds_digest[:8]}"

    @property
    def out_of_fold_rng(self) -> np.random.Generator | None:
        """Return the generator of intervals out of fold; None: that of the holdout is used."""
        return None

    @contextlib.contextmanager
    def scoring(self) -> Iterator[Score]:
        """Provide the function with which the search scores folds."""
        yield self.score

    def track_trial(self, tracker: Tracker, trial: TrialRecord) -> None:
        """Track a trial, unless the epochs of the refit are tracked instead."""
        return

    def calibrate(self, kept: Floats, searched: SearchResult) -> Calibration:
        """Calibrate the final model from its logits of cells outside its training."""
        return calibrate(kept, self.cohort.truth[self.kept_rows])

    def draw_curves(self, run: Run, searched: SearchResult) -> list[Block]:
        """Draw the training of the folds of the best trial, if it has epochs."""
        return []

    def how_to_repeat(self, card: Any) -> list[Section]:
        """Return the section of a page that explains how to reproduce the model."""
        return []


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """The results of TRAIN."""

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
class Assessed:
    """A final model with the content of its report."""

    model: FittedModel
    searched: SearchResult
    calibration: Calibration
    rows: Ints
    """Of the holdout."""
    holdout: Evaluated
    out_of_fold: Evaluated


def train(
    workspace: Workspace,
    experiment: Experiment,
    *,
    storage: str | None = None,
    wandb: Mode = "off",
    name: str | None = None,
    beside: AbstractContextManager[None] | None = None,
) -> Trained:
    """Train a model on the cells of an experiment; after an interruption the same call continues.

    Parameters
    ----------
    name
        Of the model, in place of its usual folder.
    beside
        Entered while settings are searched, such as other workers.
    """
    # Checked before the run writes its settings: a wrong address can contain a password.
    read_address(storage)
    job, study = experiment.job, experiment.study
    with start_run(workspace, study=study, what=job.run_name, settings=job, resume=True) as run:
        tracker = track(wandb, folder=run.path, project=study, name=job.run_name, settings=job)
        with beside or contextlib.nullcontext():
            searched = search_settings(workspace, experiment, storage=storage, tracker=tracker)
        aside = len(experiment.cohort.train_rows) - len(experiment.fit_rows)
        counts = len(experiment.fit_rows), aside
        logger.info("refit on %d training cells, %d are kept aside", *counts)
        model, kept = experiment.refit(searched.best, run, tracker)
        assessed = assess(experiment, run, model, kept, searched)
        folder = job.folder(workspace.models, name)
        assessed = replace(assessed, model=assessed.model.save(folder))
        write_train_report(workspace, experiment, run, assessed)
        (run.path / REFIT).unlink(missing_ok=True)
        scores = assessed.holdout.scores
        tracker.finish({"balanced_accuracy": scores[POOLED].balanced_accuracy.value})
    return Trained(
        model=folder,
        folder=run.final,
        scores=scores,
        out_of_fold=assessed.out_of_fold.scores,
        trials=len(searched.trials),
    )


def search_settings(
    workspace: Workspace,
    experiment: Experiment,
    *,
    storage: str | None = None,
    tracker: Tracker | None = None,
) -> SearchResult:
    """Search by balanced accuracy on the folds of the training cells; other processes can join."""
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
            experiment.job.search_plan,
            storage=place,
            name=experiment.search_name,
            depends_on=experiment.depends_on,
            on_trial=track_trial,
        )


def assess(
    experiment: Experiment, run: Run, model: FittedModel, kept: Floats, searched: SearchResult
) -> Assessed:
    """Calibrate the model by its logits of kept cells, open the holdout, and score it there."""
    job, cohort = experiment.job, experiment.cohort
    calibration = experiment.calibrate(kept, searched)
    log_calibration(calibration)
    model = model.with_card(
        temperature=calibration.temperature, own_probabilities=calibration.own_probabilities
    )
    out_of_fold = experiment.predict_out_of_fold(searched)
    rng = np.random.default_rng(job.seed)
    rows = cohort.open_holdout(f"TRAIN of {job.run_name}, {run.final.name}")
    scored = model.apply(rows)
    holdout = cohort.evaluate(rows, model.calibrated(scored.logits), rng=rng)
    write_network_features(run.path, scored.features)
    by_fold = by_dataset(out_of_fold, rng=experiment.out_of_fold_rng or rng)
    data = {
        "training_cells": len(cohort.train_rows),
        "kept_aside": len(cohort.train_rows) - len(experiment.fit_rows),
        "holdout_cells": len(rows),
        "training_fingerprint": cohort.fingerprint(),
        "split": cohort.split.origin,
    }
    scores = scores_for_card(by_fold, holdout.scores, trials=len(searched.trials))
    return Assessed(
        model=model.with_card(scores=scores, data=data),
        searched=searched,
        calibration=calibration,
        rows=rows,
        holdout=holdout,
        out_of_fold=Evaluated(predictions=out_of_fold, scores=by_fold),
    )


def write_train_report(
    workspace: Workspace, experiment: Experiment, run: Run, assessed: Assessed
) -> None:
    """Write the page of a training, the predictions, and report.json."""
    model, rows, searched = assessed.model, assessed.rows, assessed.searched
    explained = model.explain(run, rows, experiment.cohort.truth[rows], seed=experiment.job.seed)
    sets = model.score_sets(assessed.holdout.predictions)
    more = training_sections(
        run,
        searched,
        out_of_fold=assessed.out_of_fold.scores,
        calibration=assessed.calibration,
        models=workspace.models,
        curves=experiment.draw_curves(run, searched),
    )
    write_test_report(
        run,
        model.describe(),
        assessed.holdout,
        more=[*more, *sets_section(sets, model.coverage), *explained.sections],
        last=experiment.how_to_repeat(model.card),
    )
    write_predictions(run.path / OUT_OF_FOLD, assessed.out_of_fold.predictions)
    run.report(
        {
            "model": to_dict(model.card),
            "calibration": assessed.calibration.to_dict(),
            "holdout": _to_dicts(assessed.holdout.scores),
            "prediction_sets": {name: each.to_dict() for name, each in sets.items()},
            BEST_TRIAL: _to_dicts(assessed.out_of_fold.scores),
            **explained.report,
            "search": [to_dict(trial) for trial in _shorten(searched.trials)],
        }
    )


def _to_dicts(scores: Mapping[str, Scores]) -> dict[str, Any]:
    return {name: each.to_dict() for name, each in scores.items()}


def _shorten(trials: Sequence[TrialRecord]) -> Iterator[TrialRecord]:
    """Yield the trials for a report, without logits, times and workers."""
    for trial in trials:
        folds = tuple(
            FoldScore(
                fold.value, {name: fold.extras[name] for name in KEPT_EXTRAS if name in fold.extras}
            )
            for fold in trial.folds
        )
        yield replace(trial, folds=folds, duration_s=0.0, worker=None, attempts=0)
