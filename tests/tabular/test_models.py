"""Every model of the baseline keeps one contract."""

from typing import Any

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.feature_sets import KNOWN, with_features
from sts.search.trials import Choice, Float
from sts.tabular.estimators import predict_logits
from sts.tabular.models import MODELS, PUBLISHED_SETTINGS, PUBLISHED_SPACE, STACK_MEMBERS, find_kind
from sts.tabular.trees import NAMES, TreeSettings
from tests.datasets.ep_worlds import make_table

# Small enough to be quick; what is not named stays at its default.
QUICK: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 20},
    "extra-trees": {"n_estimators": 30},
    "hist-boosting": {"max_iter": 10},
    "svm": {},
    "logistic": {},
    "stack": {"parts": 2},
}


@pytest.fixture(scope="module")
def cells() -> tuple[Floats, Ints, tuple[str, ...]]:
    table = with_features(make_table(160), KNOWN[:60])
    return table.X, table.truth, table.names


@pytest.fixture(autouse=True)
def small_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stack fit small members."""
    small = {name: find_kind(name).make_settings(QUICK[name]) for name in STACK_MEMBERS}
    monkeypatch.setattr("sts.tabular.models.STACK_MEMBERS", small)


def fitted(name: str, X: Floats, y: Ints, *, seed: int = 0, **more: Any) -> Any:
    kind = find_kind(name)
    return kind.fit(X, y, kind.make_settings(QUICK[name]), seed=seed, **more)


def accuracy(model: Any, X: Floats, y: Ints) -> float:
    return float((predict_logits(model, X).argmax(axis=1) == y).mean())


@pytest.mark.parametrize("name", MODELS)
def test_it_learns_from_cells_with_missing_values(name: str, cells: Any) -> None:
    X, y, names = cells
    model = fitted(name, X[:120], y[:120], names=names)
    assert np.isnan(X).any()
    assert predict_logits(model, X).shape == (160, len(CLASSES))
    # Four classes that 60 features tell apart; guessing gives a quarter.
    assert accuracy(model, X[120:], y[120:]) > 0.9


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_model(name: str, cells: Any) -> None:
    X, y, _ = cells
    one, other = (predict_logits(fitted(name, X, y, seed=3), X) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["lightgbm", "extra-trees", "hist-boosting"])
def test_another_seed_gives_another_model(name: str, cells: Any) -> None:
    X, y, _ = cells
    # On cells that they have not seen, and with few features, trees do not all agree.
    few = X[:, :6]
    one, other = (
        predict_logits(fitted(name, few[:120], y[:120], seed=seed), few[120:]) for seed in (0, 1)
    )
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_a_feature_without_any_value_does_no_harm(name: str, cells: Any) -> None:
    X, y, _ = cells
    X = X.copy()
    X[:, 5] = np.nan
    assert accuracy(fitted(name, X, y), X, y) > 0.9


@pytest.mark.parametrize("name", [name for name in MODELS if name != "stack"])
def test_a_class_without_a_training_cell_is_never_called(name: str, cells: Any) -> None:
    X, y, _ = cells
    some = y != 2
    logits = predict_logits(fitted(name, X[some], y[some]), X)
    assert logits.shape == (160, len(CLASSES))
    assert (logits.argmax(axis=1) != 2).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_cell_of_weight_zero_teaches_nothing(name: str, cells: Any) -> None:
    X, y, _ = cells
    X, y, fresh, truth = X[:120], y[:120], X[120:], y[120:]
    # More than half of the cells bear another class, and count for nothing.
    spoilt = np.arange(len(y)) % 7 < 4
    wrong = np.where(spoilt, (y + 1) % 4, y)
    weights = np.where(spoilt, 0.0, 1.0)
    assert accuracy(fitted(name, X, wrong, weights=weights), fresh, truth) > 0.8
    assert accuracy(fitted(name, X, wrong), fresh, truth) < 0.6


@pytest.mark.parametrize("name", MODELS)
def test_every_searched_setting_exists_and_may_take_its_bounds(name: str) -> None:
    kind = find_kind(name)
    assert kind.space
    for setting, parameter in kind.space.items():
        ends = (
            parameter.values if isinstance(parameter, Choice) else (parameter.low, parameter.high)
        )
        for value in ends:
            assert getattr(kind.make_settings({setting: value}), setting) == value


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lightgbm", {"num_leaves": 1}),
        ("lightgbm", {"subsample": 0.0}),
        ("lightgbm", {"learning_rate": 2.0}),
        ("extra-trees", {"max_features": 0.0}),
        ("hist-boosting", {"l2_regularization": -1.0}),
        ("svm", {"gamma": 0.0}),
        ("logistic", {"C": -1.0}),
        ("logistic", {"class_weight": "even"}),
        ("stack", {"parts": 1}),
        ("lightgbm", {"num_leafs": 3}),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(StsError):
        find_kind(name).make_settings(settings)


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(StsError, match="did you mean 'logistic'"):
        find_kind("logistics")


def test_the_published_space_is_searched_and_subsampling_does_something_in_ours() -> None:
    assert PUBLISHED_SPACE["learning_rate"] == Float(1e-3, 0.2, log=True)
    assert PUBLISHED_SPACE.keys() == MODELS["lightgbm"].space.keys()
    assert PUBLISHED_SETTINGS["subsample_freq"] == 0
    assert TreeSettings().subsample_freq == 1


def test_trees_in_portions_say_what_they_say_together(cells: Any) -> None:
    X, y, _ = cells
    model: Any = find_kind("lightgbm").fit(X, y, TreeSettings(n_estimators=25), seed=0)
    together = model.booster_.predict(X, raw_score=True)
    # The same numbers added in another order.
    np.testing.assert_allclose(predict_logits(model, X), together, rtol=0, atol=1e-12)


def test_every_setting_of_the_trees_reaches_lightgbm(cells: Any) -> None:
    X, y, _ = cells
    assert {*NAMES, "n_estimators"} == set(vars(TreeSettings()))
    settings = {
        "num_leaves": 7,
        "max_depth": 3,
        "learning_rate": 0.125,
        "min_child_samples": 9,
        "subsample": 0.75,
        "subsample_freq": 2,
        "colsample_bytree": 0.5,
        "reg_alpha": 0.25,
        "reg_lambda": 0.375,
        "max_bin": 31,
        "n_estimators": 4,
    }
    kind = find_kind("lightgbm")
    trees: Any = kind.fit(X, y, kind.make_settings(settings), seed=0)
    text = trees.text()
    for ours, theirs in NAMES.items():
        assert f"[{theirs}: {settings[ours]:g}]" in text, theirs
    assert text.count("Tree=") == 4 * len(CLASSES)
