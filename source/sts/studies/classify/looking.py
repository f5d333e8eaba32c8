"""TEST and PREDICT: a stored model on the holdout of the cells at hand, and on new cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.workspace import Workspace
from sts.evaluation.scores import Scores
from sts.reports.called import Called, Prediction, fill_in, lines_of, write_called
from sts.studies.classify.cohort import Cohort
from sts.studies.classify.models import FittedModel
from sts.studies.classify.pages import LeftOut, list_left_out, write_test_report
from sts.studies.classify.training import evaluate_holdout


@dataclass(frozen=True, kw_only=True, eq=False)
class Tested:
    """What TEST found."""

    folder: Path
    scores: dict[str, Scores]
    left_out: tuple[LeftOut, ...] = ()


def test_model(
    workspace: Workspace,
    job: Any,
    model: FittedModel,
    cohort: Cohort[Any],
    *,
    study: str,
    left_out: tuple[LeftOut, ...] | None = None,
) -> Tested:
    """Score a stored model on the holdout and leave a report.

    Parameters
    ----------
    job
        With a seed; what the run is called by.
    left_out
        Cells of the study that could not be looked at; None where all can be.
    """
    what = model.what
    with start_run(workspace, study=study, what=what, settings=job) as run:
        rows = cohort.open_holdout(f"TEST of {what}, {run.final.name}")
        evaluated = evaluate_holdout(model, cohort, rows, rng=np.random.default_rng(job.seed))
        more = list_left_out(run, left_out or ())
        write_test_report(run, model.describe(), evaluated, more=more)
        run.report(
            {
                "model": {"name": what, "sha256": model.card.sha256},
                "holdout": {name: each.to_dict() for name, each in evaluated.scores.items()},
                **({} if left_out is None else {"left_out": len(left_out)}),
            }
        )
    return Tested(folder=run.final, scores=evaluated.scores, left_out=left_out or ())


def refuse_other_cells(card: Any, cohort: Cohort[Any]) -> None:
    """Refuse a holdout of which the model may have seen some in training."""
    if not cohort.is_trained_on(str(card.data.get("training_fingerprint"))):
        raise StsError(
            f"{card.name} was trained on other cells than {cohort.split.origin} says: its "
            "holdout figures would mean nothing; train it again or name its --data"
        )


def call_cells(
    workspace: Workspace,
    job: object,
    *,
    study: str,
    what: str,
    sha256: object,
    found: Sequence[Called],
    model: FittedModel | None,
) -> Prediction:
    """Say of every cell what it is, and leave a table and a page.

    Parameters
    ----------
    what, sha256
        The name of the model, and the digests of its files.
    found
        Every file or cell that was met.
    model
        With the cells whose status is ok, in their order; None where there are none.
    """
    with start_run(workspace, study=study, what=what, settings=job) as run:
        called = list(found) if model is None else fill_in(found, model.answer())
        pictures = {} if model is None else model.draw(run, called)
        write_called(run.path, called, what=what, pictures=pictures)
        run.report({"model": what, "sha256": sha256, "cells": list(lines_of(called))})
    return Prediction(folder=run.final, called=tuple(called))
