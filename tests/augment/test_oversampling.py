"""SMOTE and its kin are imbalanced-learn's, also where that gives up."""

import warnings
from typing import Any

import numpy as np
import pytest
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE

from sts.augment.contract import draw_seed, make_generator
from sts.base.types import Floats, Ints
from tests.augment.generator_worlds import clouds

COUNTS = {0: 60, 1: 40, 2: 3, 3: 1}


def crowded() -> tuple[Floats, Ints]:
    """Return classes that overlap."""
    return clouds(COUNTS, np.random.default_rng(1), apart=0.5)


def theirs(sampler: Any, X: Floats, y: Ints) -> Floats:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="After over-sampling")
        return np.asarray(sampler.fit_resample(X, y)[0][len(X) :])


@pytest.mark.parametrize(("label", "k"), [(0, 5), (1, 5), (2, 2)])
def test_smote_makes_the_rows_of_imbalanced_learn(label: int, k: int) -> None:
    X, y = crowded()
    made = make_generator("smote").fit(X, y, np.random.default_rng(0))
    seed = draw_seed(np.random.default_rng(7))
    wanted = theirs(
        SMOTE(sampling_strategy={label: COUNTS[label] + 25}, k_neighbors=k, random_state=seed), X, y
    )
    assert np.array_equal(made.sample(label, 25, np.random.default_rng(7)), wanted)


def test_borderline_smote_makes_the_rows_of_imbalanced_learn() -> None:
    X, y = crowded()
    made = make_generator("borderline").fit(X, y, np.random.default_rng(0))
    seed = draw_seed(np.random.default_rng(7))
    sampler = BorderlineSMOTE(sampling_strategy={1: 65}, random_state=seed)
    assert np.array_equal(made.sample(1, 25, np.random.default_rng(7)), theirs(sampler, X, y))


def test_adasyn_makes_rows_of_imbalanced_learn() -> None:
    X, y = crowded()
    made = make_generator("adasyn").fit(X, y, np.random.default_rng(0))
    seed = draw_seed(np.random.default_rng(7))
    # It is asked for 40 more, since it rounds, and gives about as many.
    wanted = theirs(ADASYN(sampling_strategy={1: 105}, random_state=seed), X, y)
    rows = made.sample(1, 25, np.random.default_rng(7))
    places = [np.flatnonzero((wanted == row).all(axis=1)) for row in rows]
    assert [len(place) for place in places] == [1] * 25
    # They come in the order of the rows they start from: the first ones would be of a few.
    assert np.concatenate(places).max() > len(wanted) // 2


def test_rare_classes_are_told_of() -> None:
    fitted = make_generator("smote").fit(*crowded(), np.random.default_rng(0))
    assert fitted.notes == (
        "class 2: 2 neighbours, because it has 3 rows",
        "class 3: its only row is repeated",
    )


@pytest.mark.parametrize("name", ["smote", "borderline", "adasyn"])
def test_the_only_row_of_a_class_is_repeated(name: str) -> None:
    X, y = crowded()
    fitted = make_generator(name).fit(X, y, np.random.default_rng(0))
    made = fitted.sample(3, 4, np.random.default_rng(7))
    assert np.array_equal(made, np.repeat(X[y == 3], 4, axis=0))


@pytest.mark.parametrize("name", ["borderline", "adasyn"])
def test_classes_that_nothing_comes_near_are_left_to_smote_and_told_of(name: str) -> None:
    X, y = clouds({0: 30, 1: 20}, np.random.default_rng(2), apart=100.0)
    plain, other = (
        make_generator(each).fit(X, y, np.random.default_rng(0)) for each in ("smote", name)
    )
    rows = [made.sample(1, 9, np.random.default_rng(7)) for made in (plain, other)]
    assert np.array_equal(*rows)
    assert len(other.notes) == 2
    assert all("finds no row to start at" in note for note in other.notes)


def test_adasyn_starts_from_rows_among_others_more_than_smote_does() -> None:
    rng = np.random.default_rng(3)
    X, y = clouds({0: 200, 1: 200}, rng, apart=3.0)
    means = {
        name: make_generator(name).fit(X, y, rng).sample(1, 500, rng)[:, 0].mean()
        for name in ("smote", "adasyn")
    }
    # Class 1 lies at 3 and meets class 0, which lies at 0; a mean of 500 is known to 0.05.
    assert means["adasyn"] < means["smote"] - 0.3
