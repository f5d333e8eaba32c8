"""Derived features: what their text says, and what they do not depend on."""

import math

import numpy as np
import pytest

from sts.base.types import Floats
from sts.datasets.formulas import FORMULAS, derive, ingredients_of
from sts.signals.feature_names import FEATURES, TIME_FEATURES
from tests.datasets.ep_worlds import make_values


def columns(X: Floats) -> dict[str, Floats]:
    return dict(zip(FEATURES, X.T, strict=True))


def test_every_formula_is_computed_as_python_reads_it() -> None:
    X = make_values(6)
    found = derive(columns(X))
    assert list(found) == list(FORMULAS)
    for row in range(6):
        values = dict(zip(FEATURES, X[row].tolist(), strict=True))
        for name, text in FORMULAS.items():
            tools = {"log": math.log, "missing": lambda value: float(math.isnan(value))}
            wanted = eval(text, tools, values)  # the text is ours
            assert found[name][row] == pytest.approx(wanted, nan_ok=True, rel=1e-12)


def test_every_ingredient_is_a_measured_feature() -> None:
    for name, text in FORMULAS.items():
        assert ingredients_of(text) <= set(FEATURES), name


def test_no_name_has_a_letter_that_lightgbm_refuses() -> None:
    assert all(name.isidentifier() for name in FORMULAS)
    assert not set(FORMULAS) & set(FEATURES)


def test_the_begin_of_the_sweep_plays_no_part() -> None:
    X = make_values(20)
    moved = X + 0.5 * np.array([name in TIME_FEATURES for name in FEATURES])
    for one, other in zip(
        derive(columns(X)).values(), derive(columns(moved)).values(), strict=True
    ):
        # Differences of milliseconds between times of half a second.
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_an_offset_of_all_voltages_plays_no_part() -> None:
    X = make_values(20)
    voltages = [("_v_" in name and "_t_" not in name) or name == "vrest" for name in FEATURES]
    voltages = [v or name == "vm_for_sag" for v, name in zip(voltages, FEATURES, strict=True)]
    moved = X - 14.0 * np.array(voltages)
    for one, other in zip(
        derive(columns(X)).values(), derive(columns(moved)).values(), strict=True
    ):
        # Differences of a tenth of a mV between voltages of 60 mV.
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_what_cannot_be_computed_is_missing() -> None:
    values = {"a": np.array([1.0, 0.0, -1.0, np.nan]), "b": np.array([0.0, 0.0, 2.0, 1.0])}
    found = derive(values, {"ratio": "a / b", "log_a": "log(a)", "no_a": "missing(a)"})
    np.testing.assert_array_equal(found["ratio"], [np.nan, np.nan, -0.5, np.nan])
    np.testing.assert_array_equal(found["log_a"], [0.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found["no_a"], [0.0, 0.0, 0.0, 1.0])


def test_a_formula_without_its_ingredients_is_left_out() -> None:
    found = derive({"avg_isi": np.array([np.e])})
    assert list(found) == ["log_isi"]
    assert found["log_isi"] == pytest.approx([1.0])


def test_a_formula_is_arithmetic_and_nothing_else() -> None:
    with pytest.raises(ValueError, match="cannot contain"):
        derive({"a": np.zeros(1)}, {"bad": "a if a else a"})
