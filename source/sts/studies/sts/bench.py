"""What every stage of a training works with, and the search for settings on its folds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from sts.base.files import make_folder
from sts.base.settings import digest, to_dict
from sts.base.types import Ints
from sts.base.workspace import Workspace
from sts.evaluation.calibration import calibrate
from sts.networks.predict import run_network
from sts.networks.train import fit
from sts.scalograms.bank import ImageBank
from sts.search.search import search
from sts.search.trials import FoldScore, SearchResult
from sts.studies.sts.cohort import Cohort, Fold, load_cohort
from sts.studies.sts.settings import TrainJob

STUDY: Final = "sts"
# Logits as they are kept with a fold: enough digits to calibrate by.
DIGITS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What every stage of a training works with."""

    job: TrainJob
    cohort: Cohort
    bank: ImageBank
    folds: list[Fold]
    fit_rows: Ints
    """What the final network is fitted on."""
    kept_rows: Ints
    """Training cells that it is stopped by and calibrated on."""

    def score(self, found: dict[str, Any], number: int) -> FoldScore:
        """Train on one fold and return its balanced accuracy."""
        fold = self.folds[number]
        fitted = fit(
            self.job.architecture,
            self.bank,
            self.cohort.labels,
            train_rows=fold.fit,
            validation_rows=fold.validation,
            settings=replace(self.job.with_settings(found), seed=self.job.seed + number),
        )
        images = self.bank.like(fitted.images)
        found_logits = run_network(fitted.network, images, fold.scored).logits
        unseen = run_network(fitted.network, images, fold.validation).logits
        calibration = calibrate(unseen, self.cohort.labels[fold.validation])
        truth = self.cohort.labels[fold.scored]
        return FoldScore(
            float(balanced_accuracy_score(truth, found_logits.argmax(axis=1))),
            {
                "best_epoch": fitted.best_epoch,
                "curves": [to_dict(epoch) for epoch in fitted.curves],
                "rows": fold.scored.tolist(),
                "logits": np.round(found_logits, DIGITS).tolist(),
                "temperature": calibration.temperature,
            },
        )


def make_bench(job: TrainJob, *, data: Path, device: str = "auto") -> Bench:
    """Load the cells and divide them; images are made when they are first asked for."""
    cohort = load_cohort(data, group_by=job.group_by, seed=job.seed)
    images = job.architecture.images(job.image_size)
    fit_rows, kept_rows = cohort.keep_aside(group_by=job.group_by, seed=job.seed)
    return Bench(
        job=job,
        cohort=cohort,
        bank=cohort.bank(images, device),
        folds=cohort.folds(job.trials.folds, group_by=job.group_by, seed=job.seed),
        fit_rows=fit_rows,
        kept_rows=kept_rows,
    )


def look_for_settings(
    workspace: Workspace, bench: Bench, *, storage: str | None = None
) -> SearchResult:
    """Search by balanced accuracy on the folds of the training cells; others may join in."""
    job = bench.job
    about = {
        "architecture": to_dict(job.architecture),
        "images": to_dict(bench.bank.settings),
        "base": to_dict(job.base),
        "group_by": job.group_by,
        "cells": bench.cohort.fingerprint(),
    }
    place: str | Path = storage or workspace.output / STUDY / "searches.sqlite"
    if isinstance(place, Path):
        make_folder(place.parent)
    # More trials go on with the study that fewer began.
    any_length = replace(job, search=replace(job.search, trials=1))
    name = f"{job.architecture.backbone.name}-{job.architecture.freeze}-{digest(any_length)}"
    return search(bench.score, job.space, job.trials, storage=place, name=name, about=about)
