"""Sets of features: which, in which order, from which moment their times count."""

import json
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.datasets.feature_sets import (
    FEATURE_SETS,
    KNOWN,
    RATIO,
    UNITS,
    YES_OR_NO,
    feature_names,
    raw_features,
    value_in_words,
    with_features,
)
from sts.datasets.formulas import FORMULAS, derive
from sts.signals.feature_names import FEATURES, TIME_FEATURES
from tests.datasets.ep_worlds import make_table


def test_the_features_of_the_paper_lack_the_average_interval() -> None:
    paper = feature_names("paper")
    assert len(paper) == 15
    assert set(feature_names("paper+isi")) - set(paper) == {"avg_isi"}
    assert {name for name in paper if "square" in name} == {
        name for name in FEATURES if name.endswith("_long_square")
    }
    assert feature_names("shared") == FEATURES
    assert feature_names("engineered") == (*FEATURES, *FORMULAS)


@pytest.mark.parametrize("names", FEATURE_SETS.values())
def test_no_feature_is_there_twice_and_technical_columns_never(names: tuple[str, ...]) -> None:
    assert len(set(names)) == len(names)
    assert set(names) <= set(KNOWN)
    technical = ("has_burst", "has_pause", "has_delay", "electrode_0_pa", "seal_gohm")
    assert not set(technical) & set(names)


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_a_file_lists_features_in_any_order(tmp_path: Path, kind: str) -> None:
    names = ["log_isi", "tau", "ri"]
    path = tmp_path / f"mine.{kind}"
    text = "# few\nlog_isi\n\n tau # slow\nri\n"
    path.write_text(json.dumps(names) if kind == "json" else text)
    assert feature_names(str(path)) == ("ri", "tau", "log_isi")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("mine.txt", "taw\n", "unknown feature 'taw': did you mean 'tau'"),
        ("mine.txt", "# nothing\n", "lists no feature"),
        ("mine.json", '{"a": 1}', "not a JSON list of names"),
        ("mine.json", "[", "not JSON"),
    ],
)
def test_a_bad_list_is_one_clear_line(tmp_path: Path, name: str, text: str, line: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(StsError, match=line):
        feature_names(str(tmp_path / name))


def test_an_unknown_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(StsError, match="did you mean 'engineered'"):
        feature_names("enginered")


def test_what_is_derived_asks_for_what_it_is_made_of() -> None:
    assert raw_features(["sag_voltage", "tau"]) == ("vrest", "sag", "tau", "vm_for_sag")
    assert raw_features(feature_names("engineered")) == FEATURES


def test_features_stand_in_the_order_asked_for() -> None:
    table = make_table(8)
    chosen = with_features(table, ["log_isi", "tau"])
    assert chosen.names == ("log_isi", "tau")
    np.testing.assert_array_equal(chosen.X[:, 1], table.columns()["tau"])
    np.testing.assert_array_equal(chosen.X[:, 0], derive(table.columns())["log_isi"])


def test_absolute_times_move_what_is_measured_and_nothing_derived() -> None:
    table = make_table(8)
    onset, absolute = (with_features(table, KNOWN, times=times) for times in ("onset", "absolute"))
    moved = [name in TIME_FEATURES for name in KNOWN]
    np.testing.assert_array_equal(onset.X[:, ~np.array(moved)], absolute.X[:, ~np.array(moved)])
    gaps = (absolute.X - onset.X)[:, moved]
    wanted = np.where(table.dataset == "PatchSeq", 0.5, 1.02)[:, None]
    known = ~np.isnan(gaps)
    # Times near 1 s have 2e-16 between neighbours.
    np.testing.assert_allclose(gaps[known], np.broadcast_to(wanted, gaps.shape)[known], atol=1e-12)
    with pytest.raises(StsError, match="did you mean 'onset'"):
        with_features(table, ["tau"], times="onsett")


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
