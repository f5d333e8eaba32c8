"""Every generator keeps one contract, from the day it stands in the table."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from sts.augment.contract import GENERATORS, Generator, make_generator
from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from tests.augment.generator_worlds import ABLE, QUICK, bent, clouds, moons

# Labels with a gap, classes of one, two and three rows among them.
COUNTS = {0: 40, 2: 30, 3: 3, 5: 1, 6: 2}
ADDING = [name for name, method in GENERATORS.items() if method.adds_rows]
Law = Callable[[int, np.random.Generator], tuple[Floats, Ints]]
# A Gaussian copula knows no crescent. Where classes meet, Borderline-SMOTE and ADASYN change the
# law on purpose.
LAWS: dict[str, Law] = {
    "copula": bent,
    "borderline": partial(moons, gap=3.0),
    "adasyn": partial(moons, gap=3.0),
}
DEEP = [name for name, method in GENERATORS.items() if method.deep]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    name: str
    generator: Generator
    X: Floats
    y: Ints


def quick(name: str) -> Generator:
    return make_generator(name, settings=QUICK.get(name, {}))


def table() -> tuple[Floats, Ints]:
    """Return clouds with a constant feature, one repeated, and one of two values."""
    X, y = clouds(COUNTS, np.random.default_rng(1))
    return np.column_stack([X, np.ones(len(X)), X[:, 1], X[:, 2] > 0]), y


@pytest.fixture(scope="module", params=list(GENERATORS))
def case(request: pytest.FixtureRequest) -> Case:
    X, y = table()
    fitted = quick(request.param).fit(X, y, np.random.default_rng(2))
    return Case(name=request.param, generator=fitted, X=X, y=y)


def test_as_many_finite_rows_come_as_are_wanted(case: Case) -> None:
    adds = GENERATORS[case.name].adds_rows
    for label in COUNTS:
        for n in (0, 1, 13):
            rows = case.generator.sample(label, n, np.random.default_rng(3))
            assert rows.shape == (n if adds else 0, case.X.shape[1])
            assert rows.dtype == np.float64
            assert np.isfinite(rows).all()


def test_what_is_made_is_the_callers_own(case: Case) -> None:
    rows = case.generator.sample(0, 5, np.random.default_rng(3))
    kept = rows.copy()
    rows[:] = 0.0
    assert np.array_equal(case.generator.sample(0, 5, np.random.default_rng(3)), kept)


def test_the_same_seed_gives_the_same_rows_and_another_one_others(case: Case) -> None:
    again = quick(case.name).fit(case.X, case.y, np.random.default_rng(2))
    first, second, other = (
        generator.sample(0, 9, np.random.default_rng(seed))
        for generator, seed in ((case.generator, 4), (again, 4), (again, 5))
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other) or not GENERATORS[case.name].adds_rows


@pytest.mark.parametrize("name", GENERATORS)
def test_rows_and_labels_stay_as_they_are(name: str) -> None:
    X, y = table()
    kept_X, kept_y = X.copy(), y.copy()
    X.setflags(write=False)
    y.setflags(write=False)
    fitted = quick(name).fit(X, y, np.random.default_rng(2))
    fitted.sample(0, 5, np.random.default_rng(3))
    assert np.array_equal(X, kept_X)
    assert np.array_equal(y, kept_y)


def test_classes_are_kept_apart(case: Case) -> None:
    if not GENERATORS[case.name].adds_rows:
        pytest.skip("adds no row")
    centres = np.array([case.X[case.y == label, 0].mean() for label in COUNTS])
    for place, label in enumerate(COUNTS):
        rows = case.generator.sample(label, 200, np.random.default_rng(6))
        nearest = np.abs(rows[:, :1] - centres).argmin(axis=1)
        # Centres are 12 deviations apart: even twice as wide a cloud has 0.3 % beyond half of that.
        assert np.mean(nearest == place) > 0.99, label


def test_a_feature_keeps_the_values_it_can_have(case: Case) -> None:
    if case.name in ("smote", "borderline", "adasyn", "mixup"):
        pytest.skip("interpolates between all values")
    rows = case.generator.sample(0, 50, np.random.default_rng(7))
    assert (rows[:, 4] == 1.0).all()
    assert np.isin(rows[:, 6], (0.0, 1.0)).all()


def test_a_class_without_a_training_row_is_refused(case: Case) -> None:
    if not GENERATORS[case.name].adds_rows:
        pytest.skip("adds no row")
    with pytest.raises(StsError, match="class 1 has no training row"):
        case.generator.sample(1, 5, np.random.default_rng(8))


@pytest.mark.parametrize("name", GENERATORS)
def test_nothing_is_sampled_before_a_fit_and_a_fit_leaves_the_first_unfitted(name: str) -> None:
    generator = quick(name)
    generator.fit(*table(), np.random.default_rng(2))
    with pytest.raises(ValueError, match="fit before you sample"):
        generator.sample(0, 5, np.random.default_rng(3))


@pytest.mark.parametrize("name", GENERATORS)
def test_one_class_alone_is_enough(name: str) -> None:
    X, y = clouds({4: 30}, np.random.default_rng(9))
    fitted = quick(name).fit(X, y, np.random.default_rng(2))
    rows = fitted.sample(4, 6, np.random.default_rng(3))
    assert rows.shape == (6 if GENERATORS[name].adds_rows else 0, X.shape[1])


@pytest.mark.parametrize("name", GENERATORS)
def test_one_row_alone_is_enough(name: str) -> None:
    X, y = clouds({0: 1}, np.random.default_rng(9))
    fitted = quick(name).fit(X, y, np.random.default_rng(2))
    assert np.isfinite(fitted.sample(0, 6, np.random.default_rng(3))).all()


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (np.where(X > 1, np.nan, X), y), "impute missing values first"),
        (lambda X, y: (X, y[:-1]), "labels from 0 on"),
        (lambda X, y: (X, y - 1), "labels from 0 on"),
        (lambda X, y: (X, y.astype(float)), "labels from 0 on"),
        (lambda X, y: (X[:, :0], y), "rows of features are needed"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(name: str, change: Any, message: str) -> None:
    with pytest.raises(StsError, match=message):
        quick(name).fit(*change(*table()), np.random.default_rng(2))


@pytest.mark.parametrize("name", DEEP)
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    generator = make_generator(name, device="gpu", settings=QUICK[name])
    with pytest.raises(StsError, match="unknown device"):
        generator.fit(*table(), np.random.default_rng(2))


@pytest.mark.cuda
@pytest.mark.parametrize("name", DEEP)
def test_a_gpu_keeps_the_contract_too(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    X, y = table()
    generator = make_generator(name, device="cuda", settings=QUICK[name])
    fitted = generator.fit(X, y, np.random.default_rng(2))
    rows, again = (fitted.sample(0, 9, np.random.default_rng(3)) for _ in range(2))
    assert rows.shape == (9, X.shape[1])
    assert np.isfinite(rows).all()
    assert np.array_equal(rows, again)


@pytest.mark.parametrize("name", ADDING)
def test_the_law_of_a_table_is_reproduced(name: str) -> None:
    rng = np.random.default_rng(10)
    # Half is chance; .65 is what is asked of every generator.
    assert told_apart(name, LAWS.get(name, moons), rng) <= 0.65


def test_the_test_of_a_law_fails_a_generator_that_knows_only_correlation() -> None:
    assert told_apart("copula", moons, np.random.default_rng(10)) > 0.68


def told_apart(name: str, law: Law, rng: np.random.Generator) -> float:
    """Return the area under the curve of a forest that tells what is made from fresh rows."""
    X, y = law(600, rng)
    fresh, labels = law(400, rng)
    fitted = make_generator(name, settings=ABLE.get(name, {})).fit(X, y, rng)
    made = np.vstack([fitted.sample(label, 400, rng) for label in (0, 1)])
    forest = RandomForestClassifier(60, min_samples_leaf=10, random_state=0)
    rows = np.column_stack([np.vstack([fresh, made]), np.tile(labels, 2)])
    truth = np.repeat([0, 1], 800)
    said = cross_val_predict(forest, rows, truth, cv=3, method="predict_proba")
    return float(roc_auc_score(truth, said[:, 1]))
