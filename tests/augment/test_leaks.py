"""What is scored plays no part in what is learnt; each check is seen to fail on a planted leak."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.augment import evaluate as evaluating
from sts.augment.evaluate import PreparedItem, evaluate, make_training_rows
from sts.augment.grid import Division, Grid, Item, divide_neurons
from sts.augment.neurons import Neurons
from sts.augment.preparation import (
    REDUCERS,
    RowPreparation,
    RowView,
    ViewedRows,
    fit_reducer,
    make_view,
    reduce_rows,
)
from sts.base.types import Floats
from sts.tabular.classifiers import BenchmarkClassifier
from tests.augment.tables import blobs, halves, simulated_task


def item_of(
    neurons: Neurons, method: str = "smote", *, division: Division | None = None, **grid: Any
) -> Item:
    given: dict[str, Any] = {"added": (10,), "classifiers": ("lda",), "curves": False, **grid}
    return Item(
        method=method,
        task="e",
        division=division or halves(neurons),
        neurons=neurons,
        grid=Grid(**given),
    )


def disturbed(neurons: Neurons) -> Neurons:
    """Return the neurons with other values in all scored ones but the first."""
    X = neurons.X.copy()
    others = halves(neurons).scored[1:]
    X[others] = 50 + 9 * X[others]
    return replace(neurons, X=X)


def peeking(fit: Neurons, scored: Floats, preparation: RowPreparation, *, seed: int) -> RowView:
    """Make a view whose reducer has seen the scored rows: a planted leak."""
    view = make_view(fit, scored, preparation, seed=seed)
    both = np.concatenate([view.native, view.native_scored])
    # NCA needs labels: a leak would guess them.
    y = np.append(fit.y, np.zeros(len(scored), dtype=np.int64))
    reducer = fit_reducer(
        preparation.reducer, both, y, components=preparation.components, seed=seed
    )
    train, held_out = (reduce_rows(reducer, each) for each in (view.native, view.native_scored))
    return replace(
        view, reducer=reducer, train=ViewedRows(train, train), scored=ViewedRows(held_out, held_out)
    )


def learnt(
    neurons: Neurons, reducer: str, make: Callable[..., RowView], patch: Any
) -> list[Floats]:
    """Return training rows, synthetic ones among them, and the first scored row."""
    patch.setattr(evaluating, "make_view", make)
    preparation = RowPreparation(reducer=reducer, components=2)
    prepared = PreparedItem(item_of(neurons, preparation=preparation))
    rows = make_training_rows(prepared, 10, 1.0).rows.complete
    first = prepared.view.scored.complete[0]
    patch.undo()
    return [rows, first]


@pytest.mark.parametrize("make", [make_view, peeking])
@pytest.mark.parametrize("reducer", sorted(set(REDUCERS) - {"none"}))
def test_no_reducer_learns_from_scored_rows(
    monkeypatch: pytest.MonkeyPatch, reducer: str, make: Callable[..., RowView]
) -> None:
    neurons = blobs()
    before, after = (
        learnt(each, reducer, make, monkeypatch) for each in (neurons, disturbed(neurons))
    )
    same = all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    assert same == (make is make_view)


def rows_of(item: Item) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    evaluate(item, keep=rows.append)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def with_telling(neurons: Neurons, where: Any) -> Neurons:
    """Return the neurons with a feature that gives the class away, in some of them."""
    telling = np.full(len(neurons), np.nan)
    telling[where] = neurons.y[where]
    return replace(
        neurons, X=np.column_stack([neurons.X, telling]), names=(*neurons.names, "telling")
    )


@pytest.mark.parametrize("method", ["none", "smote", "copula", "weights"])
@pytest.mark.parametrize("reducer", ["none", "pca", "nca"])
def test_a_feature_that_scored_neurons_alone_carry_changes_nothing(
    method: str, reducer: str
) -> None:
    neurons = blobs(apart=0.5)
    division = halves(neurons)
    preparation = RowPreparation(reducer=reducer, components=2)

    def scored(each: Neurons) -> list[dict[str, Any]]:
        return rows_of(item_of(each, method, division=division, preparation=preparation))

    plain = scored(neurons)
    assert scored(with_telling(neurons, division.scored)) == plain
    # In training rows too it tells: the check above would see it.
    told = scored(with_telling(neurons, np.arange(len(neurons))))
    assert told != plain
    if reducer == "none":
        assert told[0]["accuracy"] > plain[0]["accuracy"]


def test_settings_are_searched_on_training_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    neurons = blobs()
    seen: list[Floats] = []
    fitted = BenchmarkClassifier.fit

    def spied(classifier: BenchmarkClassifier, X: Floats, y: Any) -> Any:
        seen.append(X)
        return fitted(classifier, X, y)

    monkeypatch.setattr(BenchmarkClassifier, "fit", spied)
    item = item_of(neurons, "none", tune=True)
    evaluate(item)
    training = PreparedItem(item).view.train.complete
    # Three candidates on three folds, and the one that was chosen on all training rows.
    assert len(seen) == 3 * 3 + 1
    for X in seen:
        assert all((training == row).all(axis=1).any() for row in X)
    scored = PreparedItem(item).view.scored.complete
    assert not any((training == row).all(axis=1).any() for row in scored)


def test_no_neuron_that_is_scored_is_lent_in_any_fold(tmp_path: Path) -> None:
    task = simulated_task(tmp_path, "me")
    assert task.borrowable is not None
    lent = set(task.borrowable.group.tolist())
    for division in divide_neurons(task, "cv", folds=3, repeats=2, seed=0):
        scored = task.neurons.rows(division.scored)
        assert not lent & set(scored.group.tolist())
    # The table of all neurons lends those that are scored: the same check sees it.
    assert set(simulated_task(tmp_path).neurons.group.tolist()) & set(task.neurons.group.tolist())


@pytest.mark.parametrize("space", ["native", "reduced"])
def test_made_rows_do_not_depend_on_what_is_scored(space: str) -> None:
    neurons, counts = blobs(), {0: 5, 2: 5}
    preparation = RowPreparation(reducer="pca", components=2, space=space)
    made = [
        PreparedItem(item_of(each, "copula", preparation=preparation)).generate(counts, "x")[0]
        for each in (neurons, disturbed(neurons))
    ]
    assert np.array_equal(*made)
