"""PREDICT: new recordings through the same path, to a class, its probability and a warning."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sts.base.files import write_csv
from sts.base.runs import Run, start_run
from sts.base.types import CLASSES, Floats
from sts.base.workspace import Workspace
from sts.cells.table import CellRow
from sts.evaluation.calibration import apply_temperature
from sts.figures.scalogram import draw_cell
from sts.learning.device import choose_device
from sts.networks.backbones import Architecture, head_of
from sts.networks.checkpoint import Model
from sts.networks.images import ImageBank
from sts.networks.predict import features, logits
from sts.recordings.readers import find_recordings
from sts.studies.data.apart import process_apart
from sts.studies.data.cellwork import BuildSettings, Outcome
from sts.studies.data.products import rows_of, store_of
from sts.studies.data.show import picture_of
from sts.studies.sts.evaluate import stored_model


@dataclass(frozen=True, kw_only=True)
class PredictJob:
    """Which recordings are looked at by which model."""

    architecture: Architecture
    recordings: tuple[str, ...]
    """Files, or folders of them."""


@dataclass(frozen=True, kw_only=True)
class Called:
    """What the model says of one recording."""

    file: str
    specimen_id: str
    status: str
    reason: str = ""
    prediction: str = ""
    probabilities: tuple[float, ...] = ()
    distance: float = float("nan")
    """From the training cells, in units that only compare with `threshold`."""
    threshold: float = float("nan")

    @property
    def unlike_training(self) -> bool:
        """Tell whether the cell is farther from the training cells than they are among them."""
        return self.distance > self.threshold


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What PREDICT found."""

    folder: Path
    called: tuple[Called, ...]


def predict_recordings(
    workspace: Workspace, job: PredictJob, *, device: str = "auto"
) -> Prediction:
    """Say of every recording what cell it is of, and leave a table and a picture a cell."""
    model = stored_model(workspace, job.architecture, device=device)
    paths = [path for name in job.recordings for path in find_recordings(Path(name))]
    outcomes = [process_apart(path, file=str(path), settings=BuildSettings()) for path in paths]
    what = f"{model.card.name}-{model.card.architecture.freeze}"
    with start_run(workspace, study="sts-predict", what=what, settings=job) as run:
        called = call(model, outcomes, device=device)
        _write(run, called)
        _draw(run, outcomes, called)
        run.report({"model": what, "sha256": model.card.sha256, "cells": _facts(called)})
    return Prediction(folder=run.final, called=tuple(called))


def call(model: Model, outcomes: Sequence[Outcome], *, device: str) -> list[Called]:
    """Return what the model says of each outcome; one without sweeps keeps its reason."""
    rows = rows_of("store", outcomes, {}, "")
    good = [at for at, row in enumerate(rows) if row.status == "ok"]
    called = [
        Called(file=row.file, specimen_id=row.specimen_id, status=row.status, reason=row.reason)
        for row in rows
    ]
    if not good:
        return called
    store = store_of(outcomes, _good(outcomes))
    bank = ImageBank(store, model.card.images, choose_device(device))
    probabilities, distances = _look(model, bank, len(store))
    threshold = float("nan") if model.novelty is None else model.novelty.rule.threshold
    for at, likely, distance in zip(good, probabilities, distances, strict=True):
        called[at] = replace(
            called[at],
            prediction=CLASSES[int(likely.argmax())],
            probabilities=tuple(float(p) for p in likely),
            distance=float(distance),
            threshold=threshold,
        )
    return called


def _good(outcomes: Sequence[Outcome]) -> list[CellRow]:
    rows = rows_of("store", outcomes, {}, "")
    return [row for row in rows if isinstance(row, CellRow) and row.status == "ok"]


def _look(model: Model, bank: ImageBank, count: int) -> tuple[Floats, Floats]:
    """Return probabilities (cells, classes) and distances (cells,), NaN where none is known."""
    images, rows = bank.like(model.card.images), np.arange(count)
    found = logits(model.network, images, rows)
    distances = np.full(count, np.nan)
    if model.novelty is not None:
        head = head_of(model.network, model.card.architecture)
        distances = model.novelty.distances(features(model.network, head, images, rows))
    return apply_temperature(found, model.card.temperature), distances


def _write(run: Run, called: Sequence[Called]) -> None:
    likely = [f"probability_{label}" for label in CLASSES]
    columns = ["file", "specimen_id", "status", "reason", "prediction", *likely]
    columns += ["distance", "threshold", "unlike_training"]
    write_csv(run.path / "predictions.csv", columns, (_line(each, likely) for each in called))


def _line(each: Called, likely: Sequence[str]) -> dict[str, Any]:
    known = ("file", "specimen_id", "status", "reason", "prediction", "distance", "threshold")
    line = {name: getattr(each, name) for name in known}
    line |= dict(zip(likely, each.probabilities, strict=False))
    return line | {"unlike_training": each.unlike_training if each.prediction else None}


def _draw(run: Run, outcomes: Sequence[Outcome], called: Sequence[Called]) -> None:
    for number, (outcome, each) in enumerate(zip(outcomes, called, strict=True)):
        if not each.prediction:
            continue
        picture = picture_of(store_of([outcome], _good([outcome])))
        said = f"called {each.prediction}, {max(each.probabilities):.0%}"
        draw_cell(run.figures / f"cell-{number:04d}", picture, said=said)


def _facts(called: Sequence[Called]) -> list[dict[str, Any]]:
    likely = [f"probability_{label}" for label in CLASSES]
    return [_line(each, likely) for each in called]
