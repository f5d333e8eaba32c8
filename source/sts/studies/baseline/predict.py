"""PREDICT: new cells, from recordings or a table, to a class, its reasons and a warning."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.types import CLASSES, Floats, Ints
from sts.base.workspace import Workspace
from sts.datasets.ep_tables import EpTable
from sts.datasets.feature_sets import raw_features, with_features
from sts.datasets.units import value_in_words
from sts.reports.called import (
    REASONS,
    Answers,
    Called,
    Prediction,
    Reason,
    fill_in,
    lines_of,
    write_called,
)
from sts.signals.features import PUBLISHED_ONSET_S
from sts.studies.baseline.evaluate import stored_model
from sts.studies.data.new_cells import CellSource, find_new_features
from sts.tabular.checkpoint import Baseline
from sts.tabular.contributions import contributions_of, strongest
from sts.tabular.trees import BoostedTrees


@dataclass(frozen=True, kw_only=True)
class PredictJob:
    """Which cells are looked at by which model."""

    model: str
    variant: str
    source: CellSource
    name: str | None = None
    """Of the model, where it has one of its own."""


def predict(workspace: Workspace, job: PredictJob, *, workers: int = 0) -> Prediction:
    """Say of every cell what it is and why, and leave a table and a page."""
    model = stored_model(workspace, job.model, job.variant, name=job.name)
    what = f"{model.card.name}-{model.card.features}"
    needed = raw_features(model.card.names)
    found, cells = find_new_features(job.source, needed=needed, workers=workers)
    with start_run(workspace, study="baseline-predict", what=what, settings=job) as run:
        called = call(model, found, cells)
        write_called(run.path, called, what=what)
        lines = list(lines_of(called))
        run.report({"model": what, "sha256": model.card.sha256, "cells": lines})
    return Prediction(folder=run.final, called=tuple(called))


def call(model: Baseline, found: Sequence[Called], cells: EpTable | None) -> list[Called]:
    """Return what the model says of the cells whose status is ok, in the order of `cells`."""
    if cells is None:
        return list(found)
    card = model.card
    if card.times == "absolute" and set(cells.dataset.tolist()) - set(PUBLISHED_ONSET_S):
        raise StsError(
            f"{card.name} {card.features} was trained on absolute sweep times, which mean nothing "
            "for other recordings: use a model whose times count from the onset"
        )
    X = with_features(cells, card.names, times=card.times).X
    probabilities = model.probabilities(X)
    answers = Answers(
        probabilities=probabilities,
        distances=model.novelty.distances(X),
        threshold=card.novelty.threshold,
        lacking=model.novelty.lacking(X),
        most_lacking=card.novelty.most_lacking,
        because=reasons_of(model, X, probabilities.argmax(axis=1)),
    )
    return fill_in(found, answers)


def reasons_of(model: Baseline, X: Floats, labels: Ints) -> list[tuple[Reason, ...]]:
    """Return for each cell what speaks for its class, against the cells of training."""
    if not isinstance(model.classifier, BoostedTrees):
        return [() for _ in labels]
    found = contributions_of(model.classifier, X, model.card.names)
    reasons = []
    for cell, label in enumerate(labels.tolist()):
        speaking = (
            _reason(model, at, float(X[cell, at]), float(found.values[cell, at, label]), label)
            for at in strongest(found, cell, label)
        )
        of_the_cell = (reason for reason in speaking if not reason.is_of_the_recording)
        reasons.append(tuple(islice(of_the_cell, REASONS)))
    return reasons


def _reason(model: Baseline, at: int, value: float, contribution: float, label: int) -> Reason:
    """Return what one feature says of a cell, and where its value stands among training cells."""
    name, trained = model.card.names[at], model.X[:, at]
    known = trained[np.isfinite(trained)]
    count = max(len(known), 1)
    return Reason(
        feature=name,
        words=value_in_words(name, value),
        value=value,
        lower=float((known < value).sum() / count),
        higher=float((known > value).sum() / count),
        missing=1.0 - len(known) / max(len(trained), 1),
        contribution=contribution,
        label=CLASSES[label],
    )
