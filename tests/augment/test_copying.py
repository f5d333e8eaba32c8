"""Copies are found out: all of them, some of them, and near ones; new rows are not."""

from typing import Any

import numpy as np
import pytest

from sts.augment import evaluate as evaluating
from sts.augment import fidelity as measuring
from sts.augment.evaluate import PreparedItem
from sts.augment.fidelity import measure_fidelity
from sts.augment.grid import Grid, Item
from sts.augment.measures import NEW, describe_copying, near_share, nearest_distances
from sts.augment.neurons import Neurons
from sts.base.types import Floats
from tests.augment.tables import blobs, halves


@pytest.fixture(autouse=True)
def no_learners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train no classifier on synthetic rows alone, which takes longer than all else here."""
    monkeypatch.setattr(measuring, "LEARNERS", ())


RNG = np.random.default_rng(0)
TRAINING, HELD_OUT, NEWLY = (RNG.standard_normal((n, 4)) for n in (200, 200, 200))


def test_as_many_held_out_rows_are_near_as_near_means() -> None:
    assert near_share(HELD_OUT, HELD_OUT, TRAINING) == pytest.approx(0.05, abs=0.006)
    assert near_share(TRAINING, HELD_OUT, TRAINING) == 1.0
    # Of 200 new rows a twentieth, with a standard error of .015 on both sides.
    assert near_share(NEWLY, HELD_OUT, TRAINING) < 0.12
    assert np.isnan(near_share(NEWLY[:0], HELD_OUT, TRAINING))


@pytest.mark.parametrize("part", [0.3, 0.7])
def test_the_part_that_is_copied_is_found(part: float) -> None:
    mixed = np.where(np.arange(200)[:, None] < 200 * part, TRAINING, NEWLY)
    assert near_share(mixed, HELD_OUT, TRAINING) == pytest.approx(part, abs=0.06)


@pytest.mark.parametrize(
    ("near", "distance", "words"),
    [
        (1.0, 0.0, "copies"),
        (0.96, 0.34, "close to copies"),
        (0.6, 0.9, "close to copies"),
        (0.3, 0.9, "near"),
        (0.05, 0.7, "near"),
        (0.06, 1.1, "new"),
        (float("nan"), 1.0, "not known"),
    ],
)
def test_words_follow_both_measures(near: float, distance: float, words: str) -> None:
    assert describe_copying(near, distance).split(":")[0] == words


class Copier:
    """Gives training rows, moved a little."""

    notes = ()

    def __init__(self, away: float) -> None:
        self.away = away

    def fit(self, X: Floats, y: Any, rng: np.random.Generator) -> "Copier":
        self.X, self.y = X, y
        return self

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        own = self.X[self.y == label]
        rows = own[rng.integers(len(own), size=n)]
        return np.asarray(rows + self.away * rng.standard_normal(rows.shape))


def found_of(method: str, neurons: Neurons) -> dict[str, float]:
    item = Item(
        method=method,
        task="e",
        division=halves(neurons),
        neurons=neurons,
        grid=Grid(classifiers=("lda",)),
    )
    return {
        each.measure: each.value
        for each in measure_fidelity(PreparedItem(item))
        if each.against == "training" and not each.label
    }


@pytest.mark.parametrize(("away", "words"), [(0.0, "copies"), (0.05, "close to copies")])
def test_a_generator_that_gives_training_rows_is_named(
    monkeypatch: pytest.MonkeyPatch, away: float, words: str
) -> None:
    neurons = blobs((60, 45, 30))
    floor = found_of("none", neurons)
    # A twentieth of 45 held-out cells, rounded up.
    assert floor["near"] <= 3 / 45
    monkeypatch.setattr(evaluating, "make_generator", lambda *_, **__: Copier(away))
    found = found_of("smote", neurons)
    said = describe_copying(found["near"], found["nearest"] / floor["nearest"])
    assert said.split(":")[0] == words


def test_a_generator_that_knows_the_law_is_new() -> None:
    neurons = blobs((90, 80, 70))
    floor, found = (found_of(method, neurons) for method in ("none", "copula"))
    assert describe_copying(found["near"], found["nearest"] / floor["nearest"]) == NEW


def test_units_of_the_table_play_no_part() -> None:
    neurons = blobs((60, 45, 30))
    scaled = Neurons(**{**vars(neurons), "X": neurons.X * [1e6, 1, 1, 1e-6, 1]})
    one, other = (found_of("random", each) for each in (neurons, scaled))
    # `sag` is a ratio, which is not scaled before it is measured: it was left as it is above.
    assert one["nearest"] == other["nearest"] == 0.0
    one, other = (found_of("none", each) for each in (neurons, scaled))
    assert one["nearest"] == pytest.approx(other["nearest"])


def test_the_nearest_row_is_the_nearest() -> None:
    assert nearest_distances(np.array([[0.0], [9.0]]), np.array([[1.0], [5.0]])).tolist() == [
        1.0,
        4.0,
    ]
