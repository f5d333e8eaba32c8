"""PREDICT: new cells through the same path, to a class, its probability and a warning."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.runs import Run, start_run
from sts.base.workspace import Workspace
from sts.datasets.store import SweepStore
from sts.evaluation.calibration import apply_temperature
from sts.learning.device import choose_device
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import Model
from sts.networks.predict import run_network
from sts.reports.called import Answers, Called, Prediction, fill_in, lines_of, write_called
from sts.reports.figures.scalogram import draw_cell
from sts.scalograms.bank import ImageBank
from sts.studies.data.new_cells import CellSource, find_new_sweeps
from sts.studies.data.show import picture_of
from sts.studies.sts.evaluate import stored_model

# Cells that are drawn: a picture takes a second, and a page of hundreds is read by nobody.
DRAWN: Final = 24


@dataclass(frozen=True, kw_only=True)
class PredictJob:
    """Which cells are looked at by which model."""

    architecture: Architecture
    source: CellSource
    name: str | None = None
    """Of the model, where it has one of its own."""


def predict_cells(
    workspace: Workspace, job: PredictJob, *, device: str = "auto", workers: int = 0
) -> Prediction:
    """Say of every cell what it is, and leave a table, a page and pictures."""
    model = stored_model(workspace, job.architecture, device=device, name=job.name)
    what = f"{model.card.name}-{model.card.architecture.freeze}"
    found, store = find_new_sweeps(job.source, workers=workers)
    with start_run(workspace, study="sts-predict", what=what, settings=job) as run:
        called = call(model, found, store, device=device)
        pictures = {} if store is None else _draw(run, store, called)
        write_called(run.path, called, what=what, pictures=pictures)
        cells = list(lines_of(called))
        run.report({"model": what, "sha256": model.card.sha256, "cells": cells})
    return Prediction(folder=run.final, called=tuple(called))


def call(
    model: Model, found: Sequence[Called], store: SweepStore | None, *, device: str
) -> list[Called]:
    """Return what the model says of the cells whose status is ok, in the order of the store."""
    if store is None:
        return list(found)
    bank = ImageBank(store, model.card.images, choose_device(device))
    seen = run_network(model.network, bank.like(model.card.images), np.arange(len(store)))
    distances, threshold = np.full(len(store), np.nan), np.nan
    if model.novelty is not None:
        distances = model.novelty.distances(seen.features)
        threshold = model.novelty.rule.threshold
    answers = Answers(
        probabilities=apply_temperature(seen.logits, model.card.temperature),
        distances=distances,
        threshold=threshold,
    )
    return fill_in(found, answers)


def _draw(run: Run, store: SweepStore, called: Sequence[Called]) -> dict[str, list[Path]]:
    """Draw the first cells that were called; return the files by what they show."""
    answered = [each for each in called if each.prediction]
    pictures = {}
    for row, each in enumerate(answered[:DRAWN]):
        said = f"called {each.prediction}, {each.probability:.0%}"
        picture = picture_of(store.rows(np.array([row])))
        files = draw_cell(run.figures / f"cell-{row:04d}", picture, said=said)
        pictures[f"{each.specimen_id}: {said}, in {each.file}"] = files
    return pictures
