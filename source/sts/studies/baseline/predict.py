"""PREDICT: new cells, from recordings or a table, to a class, its reasons and a warning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.files import write_csv
from sts.base.runs import Run, start_run
from sts.base.types import CLASSES
from sts.base.workspace import Workspace
from sts.boosting.checkpoint import Baseline
from sts.boosting.contributions import contributions_of, strongest
from sts.boosting.trees import Trees
from sts.cells.ep_tables import EpTable, read_ep_table
from sts.cells.feature_sets import raw_features, with_features
from sts.cells.table import FeatureRow
from sts.recordings.readers import find_recordings
from sts.reports.blocks import Section, Table
from sts.reports.page import write_page
from sts.signals.features import FEATURES, PUBLISHED_ONSET_S
from sts.studies.baseline.evaluate import stored_model
from sts.studies.data.apart import process_apart
from sts.studies.data.cellwork import BuildSettings
from sts.studies.data.products import rows_of

REASONS: Final = 5


@dataclass(frozen=True, kw_only=True)
class PredictJob:
    """Which cells are looked at by which model."""

    model: str
    variant: str
    recordings: tuple[str, ...] = ()
    """Files, or folders of them."""
    table: str = ""
    """A table of features, instead of recordings."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """What one feature adds to the score of the class that was called."""

    feature: str
    value: float
    contribution: float

    def in_words(self) -> str:
        """Return "tau = 7.4 (+0.51)"."""
        value = "missing" if np.isnan(self.value) else f"{self.value:.4g}"
        return f"{self.feature} = {value} ({self.contribution:+.2f})"


@dataclass(frozen=True, kw_only=True)
class Called:
    """What the model says of one cell."""

    file: str
    specimen_id: str
    status: str
    reason: str = ""
    prediction: str = ""
    probabilities: tuple[float, ...] = ()
    because: tuple[Reason, ...] = field(default=())
    """The strongest first; none of a model without exact reasons."""
    distance: float = float("nan")
    """From the training cells, in units that only compare with `threshold`."""
    threshold: float = float("nan")
    lacking: int = 0
    """Features that it lacks and nearly all training cells have."""
    most_lacking: float = float("nan")

    @property
    def unlike_training(self) -> bool:
        """Tell whether the cell is farther from the training cells than they are, or lacks more."""
        return self.distance > self.threshold or self.lacking > self.most_lacking

    def warning(self) -> str:
        """Return why what was called is not to be trusted."""
        if self.lacking > self.most_lacking:
            return (
                f"{self.specimen_id} lacks {self.lacking} features that nearly all training cells "
                "have, perhaps a whole stimulus: train and ask a model of --features paper+isi, "
                "which takes the long square alone"
            )
        return (
            f"{self.specimen_id} looks unlike the training cells (distance {self.distance:.1f}, of "
            f"which 1 in 100 of theirs exceeds {self.threshold:.1f})"
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What PREDICT found."""

    folder: Path
    called: tuple[Called, ...]


def predict(workspace: Workspace, job: PredictJob) -> Prediction:
    """Say of every cell what it is and why, and leave a table and a page."""
    model = stored_model(workspace, job.model, job.variant)
    what = f"{model.card.name}-{model.card.features}"
    found, cells = (
        _from_table(Path(job.table), model) if job.table else _from_recordings(job.recordings)
    )
    with start_run(workspace, study="baseline-predict", what=what, settings=job) as run:
        called = call(model, found, cells)
        _write(run, called)
        _write_page(run, called, what)
        run.report({"model": what, "sha256": model.card.sha256, "cells": list(_lines(called))})
    return Prediction(folder=run.final, called=tuple(called))


def _from_table(path: Path, model: Baseline) -> tuple[list[Called], EpTable | None]:
    table = read_ep_table(path, needed=raw_features(model.card.names))
    ids = table.specimen_id.tolist()
    return [Called(file=str(path), specimen_id=each, status="ok") for each in ids], table


def _from_recordings(names: Sequence[str]) -> tuple[list[Called], EpTable | None]:
    """Measure recordings; one without features keeps its reason."""
    settings = BuildSettings(store=False, features=True)
    paths = [path for name in names for path in find_recordings(Path(name))]
    outcomes = [process_apart(path, file=str(path), settings=settings) for path in paths]
    rows = rows_of("features", outcomes, {}, "")
    called = [
        Called(file=row.file, specimen_id=row.specimen_id, status=row.status, reason=row.reason)
        for row in rows
    ]
    good = [row for row in rows if isinstance(row, FeatureRow) and row.status == "ok"]
    if not good:
        return called, None
    table = EpTable(
        specimen_id=np.array([row.specimen_id for row in good]),
        donor_id=np.array([row.donor_id for row in good]),
        label=np.array([""] * len(good)),
        dataset=np.array([row.dataset for row in good]),
        X=np.array([[row.values[name] for name in FEATURES] for row in good]),
        names=FEATURES,
    )
    return called, table


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
    distances, lacking = model.novelty.distances(X), model.novelty.lacking(X)
    because = _reasons(model, X, probabilities.argmax(axis=1))
    each = iter(range(len(cells)))
    return [
        replace(
            one,
            prediction=CLASSES[int(probabilities[at].argmax())],
            probabilities=tuple(float(p) for p in probabilities[at]),
            because=because[at],
            distance=float(distances[at]),
            threshold=card.novelty.threshold,
            lacking=int(lacking[at]),
            most_lacking=card.novelty.most_lacking,
        )
        if one.status == "ok" and (at := next(each)) is not None
        else one
        for one in found
    ]


def _reasons(model: Baseline, X: Any, labels: Any) -> list[tuple[Reason, ...]]:
    if not isinstance(model.classifier, Trees):
        return [() for _ in labels]
    names = model.card.names
    found = contributions_of(model.classifier, X, names)
    return [
        tuple(
            Reason(
                feature=names[at],
                value=float(X[cell, at]),
                contribution=float(found.values[cell, at, label]),
            )
            for at in strongest(found, cell, int(label), REASONS)
        )
        for cell, label in enumerate(labels)
    ]


def _write(run: Run, called: Sequence[Called]) -> None:
    columns = ["file", "specimen_id", "status", "reason", "prediction"]
    columns += [f"probability_{label}" for label in CLASSES]
    columns += [f"because_{number}" for number in range(1, REASONS + 1)]
    columns += ["distance", "threshold", "lacking", "unlike_training"]
    write_csv(run.path / "predictions.csv", columns, _lines(called))


def _lines(called: Sequence[Called]) -> Iterator[dict[str, Any]]:
    likely = [f"probability_{label}" for label in CLASSES]
    known = ("file", "specimen_id", "status", "reason", "prediction", "distance", "threshold")
    for each in called:
        line: dict[str, Any] = {name: getattr(each, name) for name in known}
        line |= dict(zip(likely, each.probabilities, strict=False))
        line |= {f"because_{n}": why.in_words() for n, why in enumerate(each.because, start=1)}
        if each.prediction:
            line |= {"lacking": each.lacking, "unlike_training": each.unlike_training}
        yield line


def _write_page(run: Run, called: Sequence[Called], what: str) -> None:
    table = Table(
        columns=["specimen", "class", "probability", "unlike training cells", "because"],
        rows=[
            [
                each.specimen_id or each.file,
                each.prediction or f"{each.status}: {each.reason}",
                max(each.probabilities, default=float("nan")),
                each.unlike_training if each.prediction else None,
                "; ".join(why.in_words() for why in each.because),
            ]
            for each in called
        ],
        caption="In brackets: what the feature adds to the logit of the class.",
    )
    write_page(
        run.path / "report.html",
        f"What {what} says",
        subtitle=f"{len(called)} cells",
        sections=[Section("Cells", [table])],
    )
