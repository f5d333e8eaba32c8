"""--transfer --leave-out: test on each laboratory, with training on all other laboratories."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from sts.base.errors import StsError
from sts.base.progress import progress
from sts.base.runs import start_run
from sts.base.types import CLASSES, Bools, Floats, Ints
from sts.base.workspace import Workspace
from sts.datasets.feature_sets import KNOWN, with_features
from sts.datasets.laboratories import LabelledTable, read_laboratories
from sts.datasets.splits import donor_groups
from sts.datasets.stimuli import without_indicators
from sts.evaluation.compare import compare
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import Interval, score
from sts.signals.feature_names import FEATURES
from sts.studies.classify.leave_out_pages import (
    ADAPTED,
    ALONE,
    LeaveOutJob,
    UnseenScores,
    write_leave_out_report,
)
from sts.tabular.adaptation import (
    ALIGNED,
    AS_MEASURED,
    SELF_TRAINED,
    CarriedClassifier,
    adapt,
)
from sts.tabular.type_classifier import RARE

_STUDY: Final = "baseline-leave-out"
# A class with fewer cells is not scored.
FEWEST_SCORED: Final = 5
FEWEST_LABELS: Final = 3
# Smallest share of common features of a training set: with fewer, the classifier loses too many.
LEAST_SHARED: Final = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class NewLaboratory:
    """The cells of a left-out laboratory, and a classifier fitted on the others."""

    cells: LabelledTable
    truth: Ints
    carried: CarriedClassifier
    X: Floats
    """The features that all data sets have."""
    X_own: Floats
    """All features of this laboratory."""
    trained_on: tuple[str, ...]

    def predictions(self, probabilities: Floats, rows: Ints, mark: str = "") -> Predictions:
        """Return the probabilities of some cells as predictions; `mark` is added to their ids."""
        cells = self.cells.rows(rows)
        return Predictions(
            specimen_id=np.char.add(cells.specimen_id, mark),
            dataset=cells.dataset,
            truth=self.truth[rows],
            probabilities=probabilities,
            # A cell in several draws is the same cell.
            donor_id=donor_groups(cells),
        )


def leave_out(
    workspace: Workspace, job: LeaveOutJob, *, data: Path
) -> tuple[Path, list[UnseenScores]]:
    """Leave out each data set, one at a time, and write a report."""
    table = _read_sets(data, job.datasets)
    targets = [name for name in job.datasets if _has_classes(table, name)]
    with start_run(workspace, study=_STUDY, what="forest", settings=job) as run:
        scores: list[UnseenScores] = []
        with progress(len(targets), "data sets left out") as bar:
            for name in targets:
                scores += _score_target(table, name, job)
                bar.advance()
        write_leave_out_report(run, job, scores)
    return run.final, scores


def _read_sets(data: Path, names: Sequence[str]) -> LabelledTable:
    """Return the cells with known class and all features, measured and derived."""
    if len(names) < 2:
        raise StsError(
            f"--leave-out needs two data sets or more, {len(names)} is named: each is left out "
            "while the others train"
        )
    table = read_laboratories(names, data)
    return with_features(table.rows(table.truth >= 0), without_indicators(KNOWN))


def _has_classes(table: LabelledTable, name: str) -> bool:
    counts = np.bincount(table.truth[table.dataset == name], minlength=len(CLASSES))
    return bool((counts >= FEWEST_SCORED).any())


def _score_target(table: LabelledTable, name: str, job: LeaveOutJob) -> list[UnseenScores]:
    target = make_target(table, name, seed=job.seed)
    if target is None:
        return []
    every = np.arange(len(target.cells))
    scores = []
    self_trained = target.carried.predict_self_trained(target.X, target.X_own)
    for way, probabilities in (
        (AS_MEASURED, target.carried.predict(target.X)),
        (ALIGNED, target.carried.predict_batch(target.X)),
        (SELF_TRAINED, self_trained),
    ):
        for title, kept in _groups(target.cells):
            rows = every[kept]
            cells = target.predictions(probabilities[rows], rows)
            scores.append(_score(target, title, way, cells, count=len(rows), seed=job.seed))
    for labels in job.labels if _can_be_divided(target) else ():
        scores += _score_adapted(target, self_trained, labels, job)
    return scores


def make_target(table: LabelledTable, name: str, *, seed: int) -> NewLaboratory | None:
    """Return a laboratory to test on, or None if no other laboratory of mice remains for training.

    Models are trained on mice. Human cells are classified among the classes that occur there only,
    since layer and shape distinguish interneurons before any measurement.
    """
    here = table.dataset == name
    is_human = set(table.species[here].tolist()) == {"human"}
    own = _has(table.X[here])
    similar = _find_similar_sets(table, own)
    training = ~here & (table.species == "mouse") & np.isin(table.dataset, similar)
    if is_human and len(present := np.unique(table.truth[here])) > 1:
        training &= np.isin(table.truth, present)
    trained_on = tuple(np.unique(table.dataset[training]).tolist())
    if len(np.unique(table.truth[training])) < 2:
        return None
    shared = own.copy()
    for other in trained_on:
        shared &= _has(table.X[table.dataset == other])
    if not shared.any():
        others = ", ".join(trained_on)
        raise StsError(f"no feature of {name} is in all of {others}: choose other data sets")
    carried = CarriedClassifier(classes=len(CLASSES), seed=seed)
    carried.fit(table.X[training][:, shared], table.truth[training])
    cells = table.rows(here)
    return NewLaboratory(
        cells=cells,
        truth=cells.truth,
        carried=carried,
        X=cells.X[:, shared],
        X_own=cells.X[:, own],
        trained_on=trained_on,
    )


def _find_similar_sets(table: LabelledTable, own: Bools) -> list[str]:
    """Return the data sets that have enough of these features."""
    measured = own & np.isin(table.names, FEATURES)
    names = np.unique(table.dataset).tolist()
    shares = {name: _has(table.X[table.dataset == name])[measured].mean() for name in names}
    return [name for name, share in shares.items() if share >= LEAST_SHARED]


def _can_be_divided(target: NewLaboratory) -> bool:
    """Tell whether two classes have enough cells for labels, and other donors for a test."""
    counts = np.unique(target.truth, return_counts=True)[1]
    several = (counts >= 2 * FEWEST_LABELS).sum() > 1
    return bool(several and len(np.unique(donor_groups(target.cells))) > 1)


def _has(X: Floats) -> Bools:
    return np.asarray(np.isfinite(X).mean(axis=0) > RARE)


def _groups(cells: LabelledTable) -> Iterator[tuple[str, Bools]]:
    """Yield all cells of a data set, then the acute and the cultured cells if it has both."""
    name = str(cells.dataset[0])
    yield name, np.ones(len(cells), dtype=bool)
    if {"acute", "cultured"} <= set(cells.preparation.tolist()):
        for preparation in ("acute", "cultured"):
            yield f"{name}, {preparation}", cells.preparation == preparation


def _score_adapted(
    target: NewLaboratory, carried: Floats, labels: int, job: LeaveOutJob
) -> Iterator[UnseenScores]:
    """Yield the scores with labels of half of the donors, tested on those of the other half."""
    parts: dict[str, list[Predictions]] = {ADAPTED: [], ALONE: []}
    tested: set[int] = set()
    for draw in range(job.draws):
        rows, test = draw_labels(target, labels, seed=job.seed + draw)
        if len(np.unique(target.truth[rows])) < 2:
            continue
        tested |= set(test.tolist())
        adapted = adapt(carried, target.X_own, rows, target.truth[rows], seed=job.seed)
        for way, probabilities in (
            (ADAPTED, adapted.probabilities),
            (ALONE, adapted.labels_alone),
        ):
            cells = target.predictions(probabilities[test], test, f" {draw + 1}")
            parts[way].append(cells)
    if not tested:
        return
    both = {way: _join(predictions) for way, predictions in parts.items()}
    compared = compare(both[ALONE], both[ADAPTED], rng=np.random.default_rng(job.seed))
    gain = compared.groups["pooled"].differences["macro_f1"].difference
    name = str(target.cells.dataset[0])
    shared: dict[str, Any] = {"labels": labels, "count": len(tested), "seed": job.seed}
    yield _score(target, name, ADAPTED, both[ADAPTED], gain=gain, **shared)
    yield _score(target, name, ALONE, both[ALONE], **shared)


def draw_labels(target: NewLaboratory, labels: int, *, seed: int) -> tuple[Ints, Ints]:
    """Return rows that get a label, and rows of other donors to test on."""
    truth, donors = target.truth, donor_groups(target.cells)
    halves = StratifiedGroupKFold(2, shuffle=True, random_state=seed)
    pool, test = next(halves.split(truth, truth, donors))
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(pool[truth[pool] == label])[:labels] for label in np.unique(truth)]
    # With fewer labels of a class, cross-validation is impossible.
    kept = [rows for rows in drawn if len(rows) >= FEWEST_LABELS]
    return np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64), test


def _join(parts: Sequence[Predictions]) -> Predictions:
    names = ("specimen_id", "dataset", "truth", "probabilities", "donor_id")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    return Predictions(**arrays)


def _score(
    target: NewLaboratory,
    title: str,
    way: str,
    cells: Predictions,
    *,
    count: int,
    seed: int,
    labels: int = 0,
    gain: Interval | None = None,
) -> UnseenScores:
    scores = score(cells, rng=np.random.default_rng(seed))
    return UnseenScores(
        trained_on=target.trained_on,
        tested_on=title,
        way=way,
        labels=labels,
        cells=count,
        weighted_f1=scores.weighted_f1,
        macro_f1=scores.macro_f1,
        balanced_accuracy=scores.balanced_accuracy,
        recalls={name: each.recall for name, each in scores.per_class.items() if each.support},
        gain=gain,
    )
