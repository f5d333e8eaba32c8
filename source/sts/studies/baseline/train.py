"""TRAIN: search on folds, refit, calibrate, open the holdout once, leave a model and a report."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.runs import Run, start_run
from sts.base.settings import to_dict
from sts.base.tracking import Mode, track
from sts.base.workspace import Workspace
from sts.evaluation.calibration import Calibration, calibrate
from sts.evaluation.scores import POOLED, Scores, by_dataset
from sts.reports.calibration import say_calibration
from sts.reports.trained import BEST_TRIAL, scores_for_card
from sts.search.address import read_address
from sts.search.trials import FoldScore, SearchResult, TrialRecord
from sts.studies.baseline.bench import STUDY, Bench, look_for_settings, make_bench, validate
from sts.studies.baseline.cohort import Source
from sts.studies.baseline.explain import explain
from sts.studies.baseline.pages import Evaluated, Validated, training_sections, write_test_report
from sts.studies.baseline.settings import TrainJob
from sts.tabular.checkpoint import (
    Baseline,
    BaselineCard,
    baseline_folder,
    save_baseline,
)
from sts.tabular.estimators import Classifier, logits_of
from sts.tabular.novelty import measure_novelty

logger = logging.getLogger("sts")

BY_FOLDS: Final = "training cells, each by the model of a fold that was not fitted on it"


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What TRAIN found."""

    model: Path
    """The folder of the model."""
    folder: Path
    """The folder of the run."""
    out_of_fold: dict[str, Scores]
    """Of the training cells, by the folds of the best trial, pooled and by data set."""
    trials: int
    scores: dict[str, Scores]
    """On the holdout."""


def train(
    workspace: Workspace,
    job: TrainJob,
    *,
    source: Source,
    workers: int | None = None,
    storage: str | None = None,
    wandb: Mode = "off",
    name: str | None = None,
) -> Trained:
    """Train a model from the cells of a source; interrupted, the same call goes on.

    Parameters
    ----------
    name
        Of the model, in place of the set of features that its folder is called by.
    """
    # Before the run writes down how it was called: an address is refused while it is in no file.
    read_address(storage)
    bench = make_bench(job, source=source, workers=workers)
    with start_run(workspace, study=STUDY, what=job.what, settings=job, resume=True) as run:
        tracker = track(wandb, folder=run.path, project=STUDY, name=job.what, settings=job)
        searched = look_for_settings(workspace, bench, storage=storage, tracker=tracker)
        validated = validate(bench, searched)
        logger.info("refit on %d training cells", len(bench.fit_rows))
        classifier = bench.fit(searched.best, bench.fit_rows)
        trained = finish(workspace, bench, run, classifier, validated, name=name)
        tracker.finish({"balanced_accuracy": trained.scores[POOLED].balanced_accuracy.value})
    return replace(trained, folder=run.final)


def finish(
    workspace: Workspace,
    bench: Bench,
    run: Run,
    classifier: Classifier,
    validated: Validated,
    *,
    name: str | None = None,
) -> Trained:
    """Open the holdout, write the model and the report."""
    job, cohort = bench.job, bench.cohort
    rows = cohort.open_holdout(f"TRAIN of {job.what}, {run.final.name}")
    calibration = calibrate_final(bench, classifier, validated)
    say_calibration(calibration)
    model = model_of(bench, classifier, validated, calibration)
    predictions = cohort.predictions(rows, model.probabilities(cohort.table.X[rows]))
    scores = by_dataset(predictions, rng=np.random.default_rng(job.seed))
    card = replace(
        model.card,
        scores=scores_for_card(validated.scores, scores, trials=len(validated.searched.trials)),
        data=_data(bench, rows),
    )
    folder = baseline_folder(workspace.models, job.model, job.variant, name)
    card = save_baseline(folder, replace(model, card=card))
    evaluated = Evaluated(predictions=predictions, scores=scores)
    explained = explain(run, model, cohort.table.rows(rows), cohort.truth[rows], seed=job.seed)
    more = training_sections(run, validated, calibration, models=workspace.models)
    write_test_report(run, card, evaluated, more=[*more, *explained.sections], job=job)
    run.report(
        {
            "model": to_dict(card),
            "calibration": calibration.to_dict(),
            "holdout": {name: each.to_dict() for name, each in scores.items()},
            BEST_TRIAL: {n: each.to_dict() for n, each in validated.scores.items()},
            "importance": explained.importance,
            "search": [to_dict(trial) for trial in _without_logits(validated.searched)],
        }
    )
    return Trained(
        model=folder,
        folder=run.path,
        out_of_fold=validated.scores,
        trials=len(validated.searched.trials),
        scores=scores,
    )


def calibrate_final(bench: Bench, classifier: Classifier, validated: Validated) -> Calibration:
    """Calibrate on cells that the final model has not seen.

    The published protocol leaves it none: there it is the cells that the models of the folds, which
    have the same settings, have not seen.
    """
    cohort = bench.cohort
    if bench.job.published:
        rows = np.concatenate([fold.scored for fold in bench.folds])
        return calibrate(validated.logits, cohort.truth[rows], where=BY_FOLDS)
    unseen = logits_of(classifier, cohort.table.X[bench.kept_rows])
    return calibrate(unseen, cohort.truth[bench.kept_rows])


def model_of(
    bench: Bench, classifier: Classifier, validated: Validated, calibration: Calibration
) -> Baseline:
    """Return the model with its card, as yet without scores."""
    job, table = bench.job, bench.cohort.table
    card = BaselineCard(
        name=job.kind.title,
        model=job.model,
        features=job.variant,
        names=table.names,
        times=job.chosen.times,
        temperature=calibration.temperature,
        settings=to_dict(job.configured(validated.searched.best)),
        seed=job.seed,
    )
    return Baseline(
        classifier=classifier,
        card=card,
        novelty=measure_novelty(table.X[bench.compared_rows], table.X[bench.kept_rows]),
        X=table.X[bench.fit_rows],
        y=bench.cohort.truth[bench.fit_rows],
    )


def _data(bench: Bench, held_out: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {
        "training_cells": len(bench.cohort.train_rows),
        "kept_aside": len(bench.cohort.train_rows) - len(bench.fit_rows),
        "holdout_cells": len(held_out),
        "training_fingerprint": bench.cohort.fingerprint(),
        "split": bench.cohort.split.origin,
    }


def _without_logits(searched: SearchResult) -> Iterator[TrialRecord]:
    """Yield the trials as a report holds them: same settings, same seed, same text."""
    for trial in searched.trials:
        folds = tuple(FoldScore(fold.value) for fold in trial.folds)
        yield replace(trial, folds=folds, duration_s=0.0, worker=None, attempts=0)
