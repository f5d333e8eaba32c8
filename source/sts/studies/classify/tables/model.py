"""A model of tables as one of the models of the study, and the explanation of its predictions.

Models of trees are explained by SHAP values (Lundberg et al., 2020), others by shuffled features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, Self

import numpy as np
from scipy.stats import rankdata

from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.ep_tables import EpTable
from sts.datasets.feature_sets import value_in_words
from sts.datasets.formulas import FORMULAS
from sts.reports.figures.explanations import ClassContributions, draw_all, draw_importance, draw_top
from sts.reports.new_cells import REASONS, Answers, Reason
from sts.reports.page import Picture, Section, Table
from sts.reports.tables import settings_table
from sts.studies.classify.models import Explanation, FittedModel
from sts.studies.classify.pages import CAVEAT, Description
from sts.tabular.checkpoint import Baseline, save_baseline
from sts.tabular.estimators import Classifier, predict_logits
from sts.tabular.explanations import (
    Contributions,
    compute_contributions,
    has_contributions,
    has_quick_contributions,
    permutation_importance,
    rank_features,
)

# Number of features of a class in the figure, as in the published figure.
TOP: Final = 5
# Largest number of cells (points) in the plot of all features: more add no information.
MOST_POINTS: Final = 400
# Number of cells that are explained if the SHAP values of a model are slow.
SLOW_SHAP_CELLS: Final = 100
# Number of features in the table of the report.
LISTED: Final = 20
BY_SHAP: Final = (
    "SHAP values (Lundberg et al., 2020) say what each feature adds to the score of a class in "
    "{cells} held-out cells, in units of the {unit}. They are exact, and in every cell they add up "
    "to the score, which is checked. A feature that adds to a score need not cause the class: "
    "features that depend on the data set add to it too."
)
BY_SHUFFLING: Final = (
    "Exact SHAP values exist only for models of trees. For this model the table says how much "
    "balanced accuracy on held-out cells is lost when the values of one feature are shuffled among "
    "cells. A feature with the same information as others loses little, even if it is used much."
)
ABSOLUTE_NOTE: Final = (
    "The times are absolute sweep times, as published: the stimulus begins at 1.02 s in PatchClamp "
    "and at 0.50 s in PatchSeq, so that they reveal the data set. Use such a model to reproduce "
    "the published figure, not to classify new cells."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableModel(FittedModel):
    """A model of tables and the cells for prediction."""

    model: Baseline
    cells: EpTable
    """With the features of the model."""

    @property
    def run_name(self) -> str:
        """Return the name of the model in the names of runs."""
        return f"{self.model.card.name}-{self.model.card.features}"

    def logits(self, rows: Ints) -> Floats:
        """Return logits (len(rows), classes), in the order of `rows`."""
        return predict_logits(self.model.classifier, self.cells.X[rows])

    def answer(self) -> Answers:
        """Return the answers of PREDICT for all cells."""
        X, novelty = self.cells.X, self.model.novelty
        probabilities = self.model.probabilities(X)
        return Answers(
            probabilities=probabilities,
            sets=self.find_sets(probabilities),
            coverage=self.coverage,
            distances=novelty.distances(X),
            threshold=novelty.rule.threshold,
            lacking=novelty.lacking(X),
            percentile=novelty.rule.percentile,
            lacking_threshold=novelty.rule.most_lacking,
            because=reasons_of(self.model, X, probabilities.argmax(axis=1)),
        )

    def explain(self, run: Run, rows: Ints, truth: Ints, *, seed: int) -> Explanation:
        """Explain the model on these cells; leave figures and tables in the run."""
        cells = self.cells.rows(rows)
        if has_contributions(self.model.classifier):
            return _explain_by_shap(run, self.model.classifier, cells)
        return _explain_by_shuffling(run, self.model, cells, truth, seed=seed)

    def describe(self) -> Description:
        """Return the description of the model for a page."""
        card = self.model.card
        settings = to_dict(card)
        for name in ("scores", "formulas", "names", "probe", "sha256", "own_probabilities"):
            settings.pop(name)
        is_absolute = card.times == "absolute"
        origin = "start of the sweep" if is_absolute else "stimulus onset"
        return Description(
            title=f"{card.name}, {card.features} features",
            subtitle=f"{len(card.names)} features, times from the {origin}",
            caveats=(CAVEAT.format(kind="classifier"), *([ABSOLUTE_NOTE] if is_absolute else [])),
            settings=settings_table(settings),
        )

    def save(self, folder: Path) -> Self:
        """Write the model and return it with its card as written."""
        return replace(self, model=replace(self.model, card=save_baseline(folder, self.model)))


def reasons_of(model: Baseline, X: Floats, labels: Ints) -> list[tuple[Reason, ...]]:
    """Return for each cell the features that support its class, with training ranks."""
    if not has_quick_contributions(model.classifier):
        return [() for _ in labels]
    shap = compute_contributions(model.classifier, X, model.card.names)
    reasons = []
    for cell, label in enumerate(labels.tolist()):
        ranked = (
            _reason(model, at, float(X[cell, at]), float(shap.values[cell, at, label]), label)
            for at in rank_features(shap, cell, label)
        )
        of_the_cell = (reason for reason in ranked if not reason.is_missing_stimulus)
        reasons.append(tuple(islice(of_the_cell, REASONS)))
    return reasons


def _reason(model: Baseline, at: int, value: float, contribution: float, label: int) -> Reason:
    """Return one feature of a cell as a reason, with the rank of its value among training cells."""
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


def _explain_by_shap(run: Run, trees: Classifier, cells: EpTable) -> Explanation:
    if not has_quick_contributions(trees):
        cells = cells.rows(np.arange(len(cells))[:: -(-len(cells) // SLOW_SHAP_CELLS)])
    shap = compute_contributions(trees, cells.X, cells.names)
    write_contributions(run, shap, cells)
    # Rank of each value among the values of its feature, 0 to 1; NaN if missing.
    known = np.isfinite(cells.X).sum(axis=0)
    ranks = (rankdata(cells.X, axis=0, nan_policy="omit") - 1) / np.maximum(known - 1, 1)
    sizes = shap.importance()
    overall = np.argsort(-sizes.sum(axis=1), kind="stable")
    some = np.arange(len(cells))[:: -(-len(cells) // MOST_POINTS)]
    labels = range(len(CLASSES))
    strongest_of = [np.argsort(-sizes[:, label], kind="stable")[:TOP] for label in labels]
    top = draw_top(
        run.figures / "shap-top",
        [_of_class(shap, ranks, label, strongest_of[label]) for label in labels],
    )
    every = draw_all(
        run.figures / "shap-all",
        [_of_class(shap.rows(some), ranks[some], label, overall) for label in labels],
    )
    table = Table(
        columns=["feature", *CLASSES],
        rows=[[shap.names[at], *(f"{s:.3f}" for s in sizes[at])] for at in overall[:LISTED]],
        caption=f"Mean size of the SHAP values; the {min(LISTED, len(sizes))} strongest features.",
    )
    section = Section(
        "Why",
        [
            BY_SHAP.format(unit=shap.unit, cells=len(cells)),
            Picture(files=top, caption=f"The {TOP} features that matter most for each class."),
            table,
            Picture(files=every, caption=f"All features, the strongest first; {len(some)} cells."),
        ],
    )
    importance = {
        name: dict(zip(CLASSES, sizes[at].tolist(), strict=True))
        for at, name in enumerate(shap.names)
    }
    return Explanation(
        sections=[section, formula_section(shap.names)], report={"importance": importance}
    )


def _of_class(shap: Contributions, ranks: Floats, label: int, features: Ints) -> ClassContributions:
    return ClassContributions(
        label=CLASSES[label],
        names=[_shorten_name(shap.names[at], shap.names) for at in features],
        contributions=shap.values[:, features, label],
        ranks=ranks[:, features],
        unit=shap.unit,
    )


def _shorten_name(name: str, among: Sequence[str]) -> str:
    """Return the name of a feature as in the published figure, if it is unambiguous."""
    if any(other.endswith(("_ramp", "_short_square")) for other in among):
        return name
    return name.removesuffix("_long_square").replace(
        "upstroke_downstroke_ratio", "upstroke/downstroke"
    )


def write_contributions(run: Run, shap: Contributions, cells: EpTable) -> None:
    """Write every SHAP value, one line per cell and class, and the mean sizes of each feature."""

    def lines() -> Iterator[dict[str, object]]:
        for cell, specimen in enumerate(cells.specimen_id.tolist()):
            for index, label in enumerate(CLASSES):
                values = np.round(shap.values[cell, :, index], 6).tolist()
                base = round(float(shap.base[index]), 6)
                line = {"specimen_id": specimen, "class": label, "base": base}
                yield line | dict(zip(shap.names, values, strict=True))

    columns = ["specimen_id", "class", "base", *shap.names]
    write_csv(run.path / "contributions.csv", columns, lines())
    sizes = shap.importance()
    write_csv(
        run.path / "importance.csv",
        ["feature", "formula", *CLASSES],
        (
            {"feature": name, "formula": FORMULAS.get(name)}
            | dict(zip(CLASSES, sizes[at].tolist(), strict=True))
            for at, name in enumerate(shap.names)
        ),
    )


def formula_section(names: Sequence[str]) -> Section:
    """Return the section with the formulas of the derived features in `names`."""
    derived = [name for name in names if name in FORMULAS]
    if not derived:
        return Section("Features", [f"As published: {', '.join(names)}."])
    measured = [name for name in names if name not in FORMULAS]
    table = Table(columns=["feature", "formula"], rows=[[name, FORMULAS[name]] for name in derived])
    return Section("Features", [f"Measured: {', '.join(measured)}. Derived:", table])


def _explain_by_shuffling(
    run: Run, model: Baseline, cells: EpTable, truth: Ints, *, seed: int
) -> Explanation:
    rng = np.random.default_rng(seed)
    shuffled = permutation_importance(model.classifier, cells.X, truth, cells.names, rng=rng)
    rows = list(zip(shuffled.names, shuffled.losses, strict=True))
    write_csv(
        run.path / "importance.csv",
        ["feature", "loss", "low", "high"],
        ({"feature": n, "loss": i.value, "low": i.low, "high": i.high} for n, i in rows),
    )
    picture = draw_importance(
        run.figures / "importance",
        shuffled.names[:LISTED],
        shuffled.losses[:LISTED],
        what="balanced accuracy lost when shuffled",
    )
    caption = f"The {min(LISTED, len(rows))} largest losses, {shuffled.cells} held-out cells."
    section = Section("Why", [BY_SHUFFLING, Picture(files=picture, caption=caption)])
    return Explanation(
        sections=[section, formula_section(cells.names)],
        report={"importance": {name: asdict(loss) for name, loss in rows}},
    )
