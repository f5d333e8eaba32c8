"""Every feature has a unit, and the formulas agree with those of what they are made of."""

import numpy as np
import pytest

from sts.datasets.feature_sets import KNOWN
from sts.datasets.formulas import FORMULAS, derive
from sts.datasets.units import RATIO, UNITS, YES_OR_NO, value_in_words
from sts.signals.features import FEATURES

# Powers of volts, amperes and seconds; ohms are volts by amperes, farads amperes seconds by volts.
POWERS = {
    RATIO: (0, 0, 0),
    "mV": (1, 0, 0),
    "pA": (0, 1, 0),
    "s": (0, 0, 1),
    "ms": (0, 0, 1),
    "MOhm": (1, -1, 0),
    "pF": (-1, 1, 1),
    "mV/s": (1, 0, -1),
    "pA/nF": (1, 0, -1),
    "spikes/s/pA": (0, -1, -1),
    "spikes/s/pA/MOhm": (-1, 0, -1),
}
# Volts, amperes and seconds that are so much smaller, no product of powers being 1 by chance.
SCALES = (3.0, 7.0, 11.0)


def factor_of(unit: str) -> float:
    return float(np.prod([scale**power for scale, power in zip(SCALES, POWERS[unit], strict=True)]))


def test_every_feature_has_a_unit() -> None:
    assert tuple(UNITS) == KNOWN
    assert set(UNITS.values()) == {*POWERS, YES_OR_NO, "log ms"}


def test_what_is_derived_follows_the_units_of_what_it_is_derived_from() -> None:
    rng = np.random.default_rng(4)
    columns = {name: rng.uniform(1.0, 2.0, size=5) for name in FEATURES}
    scaled = {name: values * factor_of(UNITS[name]) for name, values in columns.items()}
    before, after = derive(columns), derive(scaled)
    for name in FORMULAS:
        if UNITS[name] == "log ms":
            expected = before[name] + np.log(factor_of("ms"))
        elif UNITS[name] == YES_OR_NO:
            expected = before[name]
        else:
            expected = before[name] * factor_of(UNITS[name])
        # A few operations in float64, of which differences lose some digits.
        np.testing.assert_allclose(after[name], expected, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threshold_i_long_square", 210.0, "rheobase 210 pA"),
        ("tau", 12.3456, "tau 12.35 ms"),
        ("sag", 0.05, "sag 0.05"),
        ("missing_ramp", 1.0, "missing_ramp yes"),
        ("tau", np.nan, "tau missing"),
    ],
)
def test_a_value_is_read_with_its_unit(name: str, value: float, words: str) -> None:
    assert value_in_words(name, value) == words
