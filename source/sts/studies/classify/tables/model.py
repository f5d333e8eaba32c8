"""A model of tables as one of the models of the study: its cells, its answers, its page."""

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, Self

import numpy as np

from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.ep_tables import EpTable
from sts.datasets.units import value_in_words
from sts.reports.called import REASONS, Answers, Reason
from sts.reports.tables import settings_table
from sts.studies.classify.models import Explanation, FittedModel
from sts.studies.classify.pages import CAVEAT, Description
from sts.studies.classify.tables.explain import explain_table
from sts.tabular.checkpoint import Baseline, save_baseline
from sts.tabular.estimators import predict_logits
from sts.tabular.explanations import compute_contributions, has_quick_contributions, rank_features

ABSOLUTE: Final = (
    "The times are absolute sweep times, as published: the stimulus begins at 1.02 s in PatchClamp "
    "and at 0.50 s in PatchSeq, so that they tell the data set. Use such a model to reproduce, not "
    "to classify."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableModel(FittedModel):
    """A model of tables and the cells that it looks at."""

    model: Baseline
    cells: EpTable
    """With the features of the model."""

    @property
    def what(self) -> str:
        """Return what names of runs call this model."""
        return f"{self.model.card.name}-{self.model.card.features}"

    def logits(self, rows: Ints) -> Floats:
        """Return logits (len(rows), classes), in the order of `rows`."""
        return predict_logits(self.model.classifier, self.cells.X[rows])

    def answer(self) -> Answers:
        """Return what PREDICT says of all cells."""
        X, novelty = self.cells.X, self.model.novelty
        probabilities = self.model.probabilities(X)
        return Answers(
            probabilities=probabilities,
            distances=novelty.distances(X),
            threshold=novelty.rule.threshold,
            lacking=novelty.lacking(X),
            most_lacking=novelty.rule.most_lacking,
            because=reasons_of(self.model, X, probabilities.argmax(axis=1)),
        )

    def explain(self, run: Run, rows: Ints, truth: Ints, *, seed: int) -> Explanation:
        """Explain the model on these cells; leave figures and tables in the run."""
        return explain_table(run, self.model, self.cells.rows(rows), truth, seed=seed)

    def describe(self) -> Description:
        """Return what a page says of the model."""
        card = self.model.card
        settings = to_dict(card)
        for name in ("scores", "formulas", "names", "probe", "sha256"):
            settings.pop(name)
        is_absolute = card.times == "absolute"
        origin = "begin of the sweep" if is_absolute else "stimulus onset"
        return Description(
            title=f"{card.name}, {card.features} features",
            subtitle=f"{len(card.names)} features, times from the {origin}",
            caveats=(CAVEAT.format(kind="classifier"), *([ABSOLUTE] if is_absolute else [])),
            settings=settings_table(settings),
        )

    def save(self, folder: Path) -> Self:
        """Write the model and return it with its card as written."""
        return replace(self, model=replace(self.model, card=save_baseline(folder, self.model)))


def reasons_of(model: Baseline, X: Floats, labels: Ints) -> list[tuple[Reason, ...]]:
    """Return for each cell what speaks for its class, against the cells of training."""
    if not has_quick_contributions(model.classifier):
        return [() for _ in labels]
    found = compute_contributions(model.classifier, X, model.card.names)
    reasons = []
    for cell, label in enumerate(labels.tolist()):
        speaking = (
            _reason(model, at, float(X[cell, at]), float(found.values[cell, at, label]), label)
            for at in rank_features(found, cell, label)
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
