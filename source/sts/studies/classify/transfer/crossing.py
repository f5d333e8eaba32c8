"""The fits between data sets: what is trained on which cells, and what it then says of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy.special import softmax

from sts.base.parallel import map_unordered
from sts.base.progress import progress
from sts.base.types import Bools, Floats, Ints
from sts.datasets.ep_tables import EpTable
from sts.datasets.splits import folds_of
from sts.evaluation.predictions import Predictions
from sts.evaluation.transfer import independence_weights
from sts.signals.features import PUBLISHED_ONSET_S, TIMES
from sts.studies.classify.transfer.alignment import tell_apart
from sts.tabular.estimators import predict_logits
from sts.tabular.models import find_kind

ONSET, ABSOLUTE = "onset", "absolute"
# By what a cell is predicted: other cells of both data sets, the same weighed so that class and
# data set are independent, other cells of its own, or all of the other one's.
POOLED, EVEN, WITHIN, ACROSS = "pooled", "independent", "within", "across"
# Trained on both; the cell is shown with its times as in the other data set.
MOVED: Final = "moved"
# Not classes but data sets are told.
ORIGIN: Final = "origin"


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureView:
    """Training cells as a model is shown them."""

    features: str
    times: str
    table: EpTable

    @property
    def key(self) -> tuple[str, str]:
        """Return what tells this view from others."""
        return self.features, self.times

    def moved(self) -> EpTable | None:
        """Return the cells with their times as in the other data set, None if that is the same."""
        if self.times == ONSET:
            return None
        own = self.table.dataset.tolist()
        other = dict(zip(sorted(set(own)), sorted(set(own), reverse=True), strict=True))
        shift_s = [PUBLISHED_ONSET_S[other[name]] - PUBLISHED_ONSET_S[name] for name in own]
        shifts = np.array(shift_s)[:, None] * _timed(self.table)
        return replace(self.table, X=self.table.X + shifts)


def _timed(table: EpTable) -> Bools:
    return np.array([name in TIMES for name in table.names])


def has_absolute_times(table: EpTable) -> bool:
    """Tell whether times from the begin of the sweep are known, and any feature is one."""
    known = set(table.dataset.tolist()) <= PUBLISHED_ONSET_S.keys()
    return known and bool(_timed(table).any())


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """One model to fit, and the cells it is asked about."""

    view: FeatureView
    training: str
    rows: Ints
    scored: Ints
    model: str
    settings: Mapping[str, Any]
    seed: int

    def run(self) -> dict[str, Floats]:
        """Return the probabilities of the scored cells, as they are and with their times moved."""
        table, kind = self.view.table, find_kind(self.model)
        own = table.rows(self.rows)
        weights = independence_weights(own.truth, own.dataset) if self.training == EVEN else None
        classifier = kind.fit(
            own.X,
            own.truth,
            kind.make_settings(self.settings),
            seed=self.seed,
            names=table.names,
            weights=weights,
        )
        shown = {self.training: table}
        if self.training == POOLED and (other := self.view.moved()) is not None:
            shown[MOVED] = other
        return {
            name: softmax(predict_logits(classifier, each.X[self.scored]), axis=1)
            for name, each in shown.items()
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Telling:
    """How well data sets are told apart in a view."""

    view: FeatureView
    seed: int

    def run(self) -> dict[str, Floats]:
        """Return the log odds that each cell is of the second data set, (cells, 1)."""
        is_other = self.view.table.dataset == np.unique(self.view.table.dataset)[1]
        return {ORIGIN: tell_apart(self.view.table.X, is_other, seed=self.seed)[:, None]}

    @property
    def scored(self) -> Ints:
        """Return the rows that are told of."""
        return np.arange(len(self.view.table))


def fits_of(
    view: FeatureView,
    folds: int,
    *,
    model: str,
    settings: Mapping[str, Any],
    group_by: str,
    seed: int,
) -> list[Fit]:
    """Return every fit of a view: on both data sets, within each, and on one for the other."""
    dataset = view.table.dataset
    places = [dataset == name for name in np.unique(dataset).tolist()]
    parts: list[tuple[str, Ints, Ints]] = []
    for fit, scored in folds_of(view.table, folds, group_by=group_by, seed=seed):
        parts += [(training, fit, scored) for training in (POOLED, EVEN)]
        parts += [(WITHIN, fit[here[fit]], scored[here[scored]]) for here in places]
    parts += [(ACROSS, np.flatnonzero(here), np.flatnonzero(~here)) for here in places]
    about: dict[str, Any] = {"view": view, "model": model, "settings": settings, "seed": seed}
    return [
        Fit(training=training, rows=rows, scored=scored, **about)
        for training, rows, scored in parts
        if len(scored)
    ]


def run_all(
    work: Sequence[Fit | Telling], *, workers: int
) -> dict[tuple[str, str], dict[str, Floats]]:
    """Return what was said of every training cell, by view and by training."""
    said: list[dict[str, Floats]] = [{}] * len(work)
    with progress(len(work), "fits between data sets") as bar:
        for at, values in map_unordered(_run, work, workers=workers):
            said[at] = values
            bar.advance()
    # Only now, in the order of the work: which was done first must not show.
    found: dict[tuple[str, str], dict[str, Floats]] = {}
    for each, values in zip(work, said, strict=True):
        kept = found.setdefault(each.view.key, {})
        for name, told in values.items():
            shape = len(each.view.table), told.shape[1]
            kept.setdefault(name, np.full(shape, np.nan))[each.scored] = told
    return found


def _run(work: Fit | Telling) -> dict[str, Floats]:
    return work.run()


def predictions_of(table: EpTable, probabilities: Floats) -> Predictions:
    """Return what was said of the cells of a table."""
    return Predictions(
        specimen_id=table.specimen_id,
        dataset=table.dataset,
        truth=table.truth,
        probabilities=probabilities,
        donor_id=table.donor_id,
    )
