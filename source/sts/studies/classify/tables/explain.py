"""Why a model of the baseline says what it says: SHAP of trees, shuffled features of others."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import numpy as np

from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.ep_tables import EpTable
from sts.datasets.formulas import FORMULAS
from sts.reports.figures.explanations import ClassContributions, draw_all, draw_importance, draw_top
from sts.reports.page import Picture, Section, Table
from sts.studies.classify.models import Explanation
from sts.tabular.checkpoint import Baseline
from sts.tabular.estimators import Classifier
from sts.tabular.explanations import (
    Contributions,
    compute_contributions,
    has_contributions,
    has_quick_contributions,
    permutation_importance,
)

# Features a class, as in the published figure.
TOP: Final = 5
# A point a cell: with more of them, a plot of all features says no more.
DRAWN: Final = 400
# Of a model whose SHAP values are not quick.
FEW: Final = 100
LISTED: Final = 20
WORD: Final = (
    "SHAP values (Lundberg et al., 2020) say what each feature adds to the score of a class in "
    "{cells} held-out cells, in units of the {unit}. They are exact, and in every cell they add up "
    "to the score, which is checked. What adds to a score need not be what makes the class: "
    "features that tell the data set add too."
)
OTHER: Final = (
    "Exact SHAP values exist for models of trees alone. For this one the table says what balanced "
    "accuracy on held-out cells loses when the values of one feature are shuffled among cells; "
    "features that say the same as others lose little, however much they are used."
)


def explain_table(
    run: Run, model: Baseline, cells: EpTable, truth: Ints, *, seed: int
) -> Explanation:
    """Explain a model on held-out cells; leave figures and tables in the run."""
    if has_contributions(model.classifier):
        return _by_contributions(run, model.classifier, cells)
    return _by_shuffling(run, model, cells, truth, seed=seed)


def _by_contributions(run: Run, trees: Classifier, cells: EpTable) -> Explanation:
    if not has_quick_contributions(trees):
        cells = cells.rows(np.arange(len(cells))[:: -(-len(cells) // FEW)])
    found = compute_contributions(trees, cells.X, cells.names)
    write_contributions(run, found, cells)
    ranks = ranks_of(cells.X)
    sizes = found.importance()
    overall = np.argsort(-sizes.sum(axis=1), kind="stable")
    some = np.arange(len(cells))[:: -(-len(cells) // DRAWN)]
    top = draw_top(
        run.figures / "shap-top",
        [
            _of_class(found, ranks, label, np.argsort(-sizes[:, label], kind="stable")[:TOP])
            for label in range(len(CLASSES))
        ],
    )
    every = draw_all(
        run.figures / "shap-all",
        [_of_class(found.rows(some), ranks[some], label, overall) for label in range(len(CLASSES))],
    )
    table = _importance_table(found.names, sizes, overall)
    section = Section(
        "Why",
        [
            WORD.format(unit=found.unit, cells=len(cells)),
            Picture(files=top, caption=f"The {TOP} features that matter most for each class."),
            table,
            Picture(files=every, caption=f"All features, the strongest first; {len(some)} cells."),
        ],
    )
    importance = {
        name: dict(zip(CLASSES, sizes[at].tolist(), strict=True))
        for at, name in enumerate(found.names)
    }
    return Explanation(
        sections=[section, formula_section(found.names)], report={"importance": importance}
    )


def _of_class(
    found: Contributions, ranks: Floats, label: int, features: Ints
) -> ClassContributions:
    return ClassContributions(
        label=CLASSES[label],
        names=[shown_name(found.names[at], found.names) for at in features],
        contributions=found.values[:, features, label],
        ranks=ranks[:, features],
        unit=found.unit,
    )


def shown_name(name: str, among: Sequence[str]) -> str:
    """Return a feature's name as in the published figure, where that leaves no doubt."""
    if any(other.endswith(("_ramp", "_short_square")) for other in among):
        return name
    return name.removesuffix("_long_square").replace(
        "upstroke_downstroke_ratio", "upstroke/downstroke"
    )


def ranks_of(X: Floats) -> Floats:
    """Return where each value stands among those of its feature, 0 to 1; NaN where missing."""
    ranks = np.full(X.shape, np.nan)
    for column, values in enumerate(X.T):
        known = np.isfinite(values)
        levels, place = np.unique(values[known], return_inverse=True)
        counts = np.bincount(place, minlength=len(levels))
        middles = np.cumsum(counts) - (counts + 1) / 2
        ranks[known, column] = middles[place] / max(1, known.sum() - 1)
    return ranks


def write_contributions(run: Run, found: Contributions, cells: EpTable) -> None:
    """Write every SHAP value, a line a cell and class, and the mean sizes of each feature."""
    columns = ["specimen_id", "class", "base", *found.names]
    write_csv(run.path / "contributions.csv", columns, _lines(found, cells))
    sizes = found.importance()
    write_csv(
        run.path / "importance.csv",
        ["feature", "formula", *CLASSES],
        (
            {"feature": name, "formula": FORMULAS.get(name)}
            | dict(zip(CLASSES, sizes[at].tolist(), strict=True))
            for at, name in enumerate(found.names)
        ),
    )


def _lines(found: Contributions, cells: EpTable) -> Iterator[dict[str, object]]:
    for cell, specimen in enumerate(cells.specimen_id.tolist()):
        for index, label in enumerate(CLASSES):
            values = np.round(found.values[cell, :, index], 6).tolist()
            yield {
                "specimen_id": specimen,
                "class": label,
                "base": round(float(found.base[index]), 6),
            } | dict(zip(found.names, values, strict=True))


def _importance_table(names: Sequence[str], sizes: Floats, order: Ints) -> Table:
    return Table(
        columns=["feature", *CLASSES],
        rows=[[names[at], *(f"{size:.3f}" for size in sizes[at])] for at in order[:LISTED]],
        caption=f"Mean size of the SHAP values; the {min(LISTED, len(names))} strongest features.",
    )


def formula_section(names: Sequence[str]) -> Section:
    """Return what the derived features among these are made of."""
    derived = [name for name in names if name in FORMULAS]
    if not derived:
        return Section("Features", [f"As published: {', '.join(names)}."])
    measured = [name for name in names if name not in FORMULAS]
    table = Table(columns=["feature", "formula"], rows=[[name, FORMULAS[name]] for name in derived])
    return Section("Features", [f"Measured: {', '.join(measured)}. Derived:", table])


def _by_shuffling(
    run: Run, model: Baseline, cells: EpTable, truth: Ints, *, seed: int
) -> Explanation:
    rng = np.random.default_rng(seed)
    found = permutation_importance(model.classifier, cells.X, truth, cells.names, rng=rng)
    rows = list(zip(found.names, found.losses, strict=True))
    write_csv(
        run.path / "importance.csv",
        ["feature", "loss", "low", "high"],
        ({"feature": n, "loss": i.value, "low": i.low, "high": i.high} for n, i in rows),
    )
    what = "balanced accuracy lost when shuffled"
    picture = draw_importance(
        run.figures / "importance", found.names[:LISTED], found.losses[:LISTED], what=what
    )
    caption = f"The {min(LISTED, len(rows))} largest losses, {found.cells} held-out cells."
    section = Section("Why", [OTHER, Picture(files=picture, caption=caption)])
    return Explanation(
        sections=[section, formula_section(cells.names)],
        report={"importance": {name: asdict(loss) for name, loss in rows}},
    )
