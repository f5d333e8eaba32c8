"""Nothing leaks from scored rows into training; cells are the same however they are come by."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.augment import evaluate as evaluating
from sts.augment.evaluate import (
    PreparedItem,
    divide_by_priors,
    evaluate,
    make_training_rows,
)
from sts.augment.grid import (
    CURVE,
    Grid,
    Item,
    ScoreKey,
    make_rng,
    read_scores,
    score_key,
    write_scores,
)
from sts.augment.neurons import Neurons
from sts.augment.preparation import (
    RowPreparation,
    RowView,
    ViewedRows,
    fit_space,
    make_view,
    view_borrowed,
)
from sts.base.types import Floats
from sts.tabular.classifiers import VOTERS
from tests.augment.tables import blobs, halves, simulated_task

FEW = ("naive-bayes", "lda")


def item_of(method: str = "smote", **changes: Any) -> Item:
    neurons = changes.pop("neurons", blobs())
    grid = Grid(added=(10, 20), classifiers=FEW, curves=False)
    return Item(
        method=method,
        task="e",
        division=halves(neurons),
        neurons=neurons,
        grid=replace(grid, **changes.pop("grid", {})),
        **changes,
    )


def rows_of(item: Item, **named: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    evaluate(item, keep=rows.append, **named)
    return rows


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def peeking(fit: Neurons, scored: Floats, preparation: RowPreparation, **named: Any) -> RowView:
    """Make a view whose scales have seen the scored rows: a planted leak."""
    view = make_view(fit, scored, preparation, **named)
    space = fit_space(np.concatenate([fit.X, scored]), fit.names)
    return replace(
        view,
        space=space,
        native=space.transform(fit.X),
        native_scored=space.transform(scored),
        train=ViewedRows(space.transform(fit.X), space.scale(fit.X)),
        scored=ViewedRows(space.transform(scored), space.scale(scored)),
    )


def learnt(neurons: Neurons, monkeypatch: pytest.MonkeyPatch, make: Callable[..., RowView]) -> Any:
    """Return training rows and what is said of the first scored neuron."""
    monkeypatch.setattr(evaluating, "make_view", make)
    prepared = PreparedItem(item_of(neurons=neurons))
    training = make_training_rows(prepared, 10, 1.0)
    monkeypatch.undo()
    return training.rows.complete, prepared.view.scored.complete[0]


@pytest.mark.parametrize("make", [make_view, peeking])
def test_what_is_scored_changes_nothing_in_training(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., RowView]
) -> None:
    neurons = blobs()
    other = neurons.X.copy()
    scored = halves(neurons).scored
    other[scored[1:]] = 50 + 9 * other[scored[1:]]
    before, after = (
        learnt(each, monkeypatch, make) for each in (neurons, replace(neurons, X=other))
    )
    same = all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))
    # The planted leak is seen, so that the check is known to see.
    assert same == (make is make_view)


class Spy:
    """A generator that tells what it was given."""

    notes = ()

    def __init__(self) -> None:
        self.seen: list[tuple[Floats, Any]] = []

    def fit(self, X: Floats, y: Any, rng: np.random.Generator) -> "Spy":
        self.seen.append((X.copy(), y.copy()))
        return self

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        X, y = self.seen[0]
        return X[y == label][rng.integers(0, (y == label).sum(), n)]


@pytest.mark.parametrize("space", ["native", "reduced"])
def test_a_generator_sees_training_rows_only_and_once(
    monkeypatch: pytest.MonkeyPatch, space: str
) -> None:
    spy = Spy()
    monkeypatch.setattr(evaluating, "make_generator", lambda *_, **__: spy)
    preparation = RowPreparation(reducer="pca", components=2, space=space)
    item = item_of("smote", grid={"preparation": preparation})
    rows_of(item)
    ((X, y),) = spy.seen
    fit = item.neurons.rows(item.division.fit)
    assert np.array_equal(y, fit.y)
    native = fit_space(fit.X, fit.names).transform(fit.X)
    if space == "native":
        assert np.array_equal(X, native)
    else:
        assert X.shape == (len(fit), 2)


def test_added_rows_are_so_many_of_each_class() -> None:
    prepared = PreparedItem(item_of("random"))
    training = make_training_rows(prepared, 20, 1.0)
    counts = np.bincount(training.y) - np.bincount(prepared.fit.y)
    assert counts.tolist() == [20, 20, 20]
    assert training.synthetic == 60
    # Repeated rows are training rows.
    made = training.rows.complete[-60:]
    assert all((prepared.view.native == row).all(axis=1).any() for row in made)


def test_cells_are_the_same_in_any_order_and_when_some_are_done() -> None:
    whole = rows_of(item_of())
    done = [score_key(row) for row in whole[:3]]
    rest = rows_of(item_of(), done=done)
    assert without_times(rest) == without_times(whole[3:])
    assert rows_of(item_of(), done=[score_key(row) for row in whole]) == []


def test_the_cells_of_an_item_are_those_it_names() -> None:
    for method in ("none", "weights", "priors", "smote"):
        item = item_of(method, grid={"curves": True})
        assert [score_key(row) for row in rows_of(item)] == item.score_keys()
    parts = {key.part for key in item_of("none", grid={"curves": True}).score_keys()}
    assert parts == {*CURVE, 1.0}
    later = item_of("none", grid={"curves": True})
    later = replace(later, division=replace(later.division, repeat=1))
    assert {key.part for key in later.score_keys()} == {1.0}


def test_a_part_of_the_training_rows_holds_every_class() -> None:
    neurons = blobs((40, 9, 2))
    item = item_of("none", neurons=neurons, grid={"curves": True})
    for row in rows_of(item):
        fit = neurons.rows(item.division.fit)
        assert row["train_rows"] >= row["part"] * len(fit) - 3


def test_the_vote_is_the_mean_of_its_voters() -> None:
    rows = rows_of(item_of("none", grid={"classifiers": (*VOTERS, "vote")}))
    alone = rows_of(item_of("none", grid={"classifiers": ("vote",)}))
    (vote,) = (row for row in rows if row["classifier"] == "vote")
    assert without_times([vote]) == without_times(alone)
    losses = {row["classifier"]: row["log_loss"] for row in rows if row["classifier"] != "vote"}
    mean = np.average([losses[name] for name in VOTERS], weights=list(VOTERS.values()))
    # A geometric mean has a sum of one at most, so that dividing by it lowers the loss; but for
    # what the floor adds.
    assert vote["log_loss"] < mean + 1e-3


def test_weights_add_no_rows() -> None:
    rows = rows_of(item_of("weights"))
    assert {row["synthetic_rows"] for row in rows} == {0}
    assert {row["added"] for row in rows} == {0}


def test_priors_make_rare_classes_more_likely_and_power_0_changes_nothing() -> None:
    y = np.repeat([0, 1], [9, 1])
    # The third class has no training row.
    probabilities = np.array([[0.6, 0.3, 0.1]])
    assert divide_by_priors(probabilities, y, 0.0) is probabilities
    wanted = np.array([0.6 / 0.9, 0.3 / 0.1, 0.1])
    assert divide_by_priors(probabilities, y, 1.0)[0] == pytest.approx(wanted / wanted.sum())


def test_thresholds_are_chosen_on_training_rows_and_add_no_rows() -> None:
    neurons = blobs((90, 12, 8), apart=0.8)
    base, priors, tuned = (
        rows_of(item_of(method, neurons=neurons)) for method in ("none", "priors", "thresholds")
    )
    assert {row["synthetic_rows"] for row in (*priors, *tuned)} == {0}
    assert {row["how"] for row in priors} == {"priors to the power 1"}
    plain, rare = (np.mean([row["recall_class 0"] for row in rows]) for rows in (base, priors))
    assert rare < plain
    # Scored rows that have no classes left to learn from do not change what is chosen.
    other = item_of("thresholds", neurons=neurons)
    hidden = replace(
        neurons, y=np.where(np.isin(np.arange(110), other.division.scored), 0, neurons.y)
    )
    again = rows_of(replace(other, neurons=hidden))
    assert [row["how"] for row in again] == [row["how"] for row in tuned]


def test_a_class_of_one_neuron_goes_through() -> None:
    neurons = blobs((30, 20, 1))
    for seed in range(3):
        item = replace(item_of("smote", neurons=neurons), division=halves(neurons, seed=seed))
        rows = rows_of(item)
        assert all(np.isfinite(row["macro_f1"]) for row in rows)


def test_tuning_picks_among_candidates_on_training_rows() -> None:
    neurons = blobs()
    items = [
        item_of("none", neurons=replace(neurons, X=X), grid={"tune": True})
        for X in (
            neurons.X,
            np.where(
                np.isin(np.arange(len(neurons)), halves(neurons).scored)[:, None], 99.0, neurons.X
            ),
        )
    ]
    setups = [[row["setup"] for row in rows_of(item)] for item in items]
    assert setups[0] == setups[1]


def test_borrowed_neurons_join_as_real_rows(tmp_path: Path) -> None:
    task = simulated_task(tmp_path, "me")
    assert task.borrowable is not None
    item = item_of("borrow", neurons=task.neurons, borrowed=task.borrowable)
    prepared = PreparedItem(item)
    rows = view_borrowed(prepared.view, task.borrowable)
    shape = [prepared.view.space.names.index(name) for name in ("total_length", "number_stems")]
    assert np.isnan(rows.missing[:, shape]).all()
    assert np.isfinite(rows.complete).all()
    # Guessed from what is there, so that they differ from neuron to neuron.
    assert (rows.complete[:, shape].std(axis=0) > 0).all()
    training = make_training_rows(prepared, 0, 1.0)
    assert len(training.y) == len(item.division.fit) + len(task.borrowable)
    assert rows_of(item)[0]["train_rows"] == len(training.y)


def test_neurons_without_labels_join_by_guesses(tmp_path: Path) -> None:
    task = simulated_task(tmp_path, "me")
    assert task.borrowable is not None
    shuffled = replace(task.borrowable, y=np.roll(task.borrowable.y, 7))
    items = [
        item_of("unlabelled", neurons=task.neurons, borrowed=each)
        for each in (task.borrowable, shuffled)
    ]
    known, hidden = map(rows_of, items)
    # Intervals are wider for fewer training rows: those without labels do not count.
    assert known[0]["train_rows"] == len(items[0].division.fit)
    # Their labels are not looked at.
    assert [row["macro_f1"] for row in known] == [row["macro_f1"] for row in hidden]
    guessed = int(known[0]["how"].split(" of ")[0].split("; ")[-1])
    assert 0 < guessed <= len(task.borrowable)
    (plain, *_) = rows_of(item_of("none", neurons=task.neurons))
    assert known[0]["log_loss"] != plain["log_loss"]


def test_cells_come_back_from_their_file(tmp_path: Path) -> None:
    rows = rows_of(item_of("none"))
    write_scores(tmp_path / "cells.csv", rows, ("class 0", "class 1", "class 2"))
    back = read_scores(tmp_path / "cells.csv")
    assert sorted(map(repr, back)) == sorted(map(repr, rows))
    assert isinstance(score_key(back[0]), ScoreKey)


def test_random_numbers_belong_to_their_words() -> None:
    draws = {
        tuple(make_rng(0, *words).integers(1000, size=3).tolist())
        for words in (("a", 1), ("a", 2), ("b", 1))
    }
    assert len(draws) == 3
    assert make_rng(0, "a").integers(1000) == make_rng(0, "a").integers(1000)
