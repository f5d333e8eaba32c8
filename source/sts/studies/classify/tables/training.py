"""TRAIN of a model of tables: its folds, in parallel if that is faster, and its final fit."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from sts.base.parallel import worker_count
from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.tracking import Tracker
from sts.base.types import Floats, Ints
from sts.evaluation.calibration import Calibration, calibrate, calibrate_each
from sts.evaluation.predictions import Predictions
from sts.reports.page import Block, Code, Section
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.classify.tables.cells import Source, TableCohort, load_table
from sts.studies.classify.tables.model import TableModel
from sts.studies.classify.tables.settings import TableJob
from sts.studies.classify.training import LOGIT_DIGITS, Experiment, Score
from sts.tabular.checkpoint import Baseline, BaselineCard
from sts.tabular.estimators import Classifier, predict_logits
from sts.tabular.novelty import measure_novelty

BY_FOLDS: Final = "training cells, each by the model of a fold that was not fitted on it"


@dataclass(frozen=True, kw_only=True, eq=False)
class TableExperiment(Experiment):
    """A model of tables and the features of its cells."""

    job: TableJob
    cohort: TableCohort
    compared_rows: Ints
    """Training cells for the comparison with new cells, without the cells kept aside."""
    workers: int

    study: ClassVar[str] = "baseline"

    @property
    def depends_on(self) -> dict[str, Any]:
        """Return everything that scores depend on, except the searched settings."""
        cells = self.cohort.fingerprint()
        terms = {"model": self.job.model, "settings": self.job.settings, "cells": cells}
        return terms | {"folds": self.folds_digest}

    @property
    def search_name(self) -> str:
        """Return the name of the search; it depends on the cells."""
        return f"{super().search_name}-{self.cohort.fingerprint()[:8]}"

    @property
    def out_of_fold_rng(self) -> np.random.Generator:
        """Return the generator of intervals out of fold."""
        return np.random.default_rng(self.job.seed)

    @contextlib.contextmanager
    def scoring(self) -> Iterator[Score]:
        """Provide the function that scores folds; the folds of a trial run in parallel."""
        with ParallelFolds(self.score, self.job.search_plan.folds, workers=self.workers) as score:
            yield score

    def score(self, values: dict[str, Any], number: int) -> FoldScore:
        """Fit on one fold with these values of searched settings; return its score."""
        fold = self.folds[number]
        classifier = self.fit(values, fold.fit)
        logits = np.round(
            predict_logits(classifier, self.cohort.cells.X[fold.scored]), LOGIT_DIGITS
        )
        truth = self.cohort.truth[fold.scored]
        value = float(balanced_accuracy_score(truth, logits.argmax(axis=1)))
        return FoldScore(value, {"logits": logits.tolist()})

    def fit(self, values: dict[str, Any], rows: Ints) -> Classifier:
        """Fit on these rows with these values of searched settings."""
        table, job = self.cohort.cells, self.job
        return job.kind.fit(
            table.X[rows],
            self.cohort.truth[rows],
            job.make_settings(values),
            seed=job.seed,
            names=table.names,
        )

    def track_trial(self, tracker: Tracker, trial: TrialRecord) -> None:
        """Track the score of a trial."""
        if trial.value is not None:
            tracker.log({"mean_balanced_accuracy": trial.value}, step=trial.number)

    def refit(
        self, values: dict[str, Any], run: Run, tracker: Tracker
    ) -> tuple[TableModel, Floats]:
        """Return the final model, without temperature and scores, and its logits of `kept_rows`."""
        job, table = self.job, self.cohort.cells
        card = BaselineCard(
            name=job.kind.title,
            model=job.model,
            features=job.variant,
            names=table.names,
            times=job.chosen.times,
            settings=to_dict(job.make_settings(values)),
            seed=job.seed,
        )
        model = Baseline(
            classifier=self.fit(values, self.fit_rows),
            card=card,
            novelty=measure_novelty(table.X[self.compared_rows], table.X[self.kept_rows]),
            X=table.X[self.fit_rows],
            y=self.cohort.truth[self.fit_rows],
        )
        fitted = TableModel(model=model, cells=table)
        return fitted, fitted.logits(self.kept_rows)

    def predict_out_of_fold(self, searched: SearchResult) -> Predictions:
        """Return the predictions of the training cells by the folds, calibrated fold by fold.

        The temperature of a cell is fitted on other cells that the model of its fold has not seen.
        """
        rows = [fold.scored for fold in self.folds]
        calibrated = [
            calibrate_each(np.array(fold.extras["logits"]), self.cohort.truth[scored])
            for fold, scored in zip(searched.best_trial.folds, rows, strict=True)
        ]
        return self.cohort.predictions(np.concatenate(rows), np.concatenate(calibrated))

    def calibrate(self, kept: Floats, searched: SearchResult) -> Calibration:
        """Calibrate on cells outside the training of the final model.

        The published protocol leaves no such cells. It takes those that the models of the folds,
        which have the same settings, have not seen.
        """
        if not self.job.published:
            return super().calibrate(kept, searched)
        rows = np.concatenate([fold.scored for fold in self.folds])
        logits = [np.array(fold.extras["logits"]) for fold in searched.best_trial.folds]
        return calibrate(np.concatenate(logits), self.cohort.truth[rows], where=BY_FOLDS)

    def how_to_repeat(self, card: BaselineCard) -> list[Section]:
        """Return the section of a page that explains how to reproduce the model."""
        job = self.job
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
        text = (
            f"With the same cells (training cells {card.data['training_fingerprint']}), seed and "
            f"releases ({versions}) this gives the same report. The settings of the model:"
        )
        blocks: list[Block] = [Code(" ".join(command)), text, Code(json.dumps(card.settings))]
        return [Section("How to repeat it", blocks)]


def prepare_table(job: TableJob, *, source: Source, workers: int | None = None) -> TableExperiment:
    """Load the cells and divide them; in the published protocol the fit uses all of them."""
    cohort = load_table(source, job.chosen, group_by=job.group_by, seed=job.seed)
    compared, kept = cohort.keep_aside(group_by=job.group_by, seed=job.seed)
    return TableExperiment(
        job=job,
        cohort=cohort,
        folds=cohort.folds(job.search_plan.folds, group_by=job.group_by, seed=job.seed),
        fit_rows=cohort.train_rows if job.published else compared,
        compared_rows=compared,
        kept_rows=kept,
        workers=worker_count(workers),
    )


class ParallelFolds:
    """Score the later folds of a trial in threads while the search waits for the first.

    A score depends on settings and fold alone, so that a search finds the same with any number of
    threads. If a trial is pruned, its folds that have not begun are dropped. LightGBM releases the
    interpreter while it works, so that threads are enough.
    """

    def __init__(self, score: Score, folds: int, *, workers: int) -> None:
        self._score, self._folds = score, folds
        # One thread for each fold: three folds at once on two cores are faster than two, then one.
        self._pool = ThreadPoolExecutor(max(workers, folds)) if workers > 1 else None
        self._settings: dict[str, Any] = {}
        self._begun: dict[int, Future[FoldScore]] = {}

    def __enter__(self) -> "ParallelFolds":
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the folds that have not started and wait for the others."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __call__(self, settings: dict[str, Any], fold: int) -> FoldScore:
        """Return the score of a fold."""
        if self._pool is None:
            return self._score(settings, fold)
        if settings != self._settings or fold not in self._begun:
            for waiting in self._begun.values():
                waiting.cancel()
            self._settings = settings
            self._begun = {
                later: self._pool.submit(self._score, settings, later)
                for later in range(fold, self._folds)
            }
        return self._begun.pop(fold).result()
