"""Tasks hold each neuron once, without technical columns; those without morphology may be lent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.augment.curation import drop_impossible, family_of, read_curation, technical_columns
from sts.augment.simulated import COUNTS
from sts.augment.tasks import TASKS, add_derived, load_task, read_tuning_groups
from sts.base.errors import StsError
from sts.datasets.formulas import FORMULAS, FORMULAS_WITH_CONTRASTS, REPLACED
from tests.augment.tables import simulated_task


def test_every_technical_column_has_a_reason_and_no_other_has() -> None:
    for name, column in read_curation().items():
        assert bool(column.reason) == (column.family == "technical"), name
    named = technical_columns(("vrest", "seal_gohm", "superseded", "mine"))
    assert set(named) == {"seal_gohm", "superseded"}


def test_families_are_those_of_the_paper() -> None:
    assert [family_of(name) for name in ("peak_t_ramp", "vrest", "ri", "sag", "total_length")] == [
        "timing",
        "voltage",
        "continuous",
        "ratio",
        "morphology",
    ]
    assert family_of("height_ramp") == "derived"
    assert family_of("a column of mine") == "continuous"


def test_a_reconstruction_without_diameters_has_no_volume() -> None:
    assert np.isnan(drop_impossible("total_volume", np.array([-1e-5, np.nan, 300.0]))).tolist() == [
        True,
        True,
        False,
    ]
    assert drop_impossible("mine", np.array([-1.0]))[0] == -1.0


def test_a_task_holds_every_neuron_once(tmp_path: Path) -> None:
    e, me = simulated_task(tmp_path), simulated_task(tmp_path, "me")
    assert e.neurons.counts().tolist() == [count for count, _ in COUNTS.values()]
    assert me.neurons.counts().tolist() == [count for _, count in COUNTS.values()]
    assert len(set(me.neurons.specimen_id.tolist())) == len(me.neurons)
    # 48 published columns less three technical ones; 24 less six.
    assert len(e.neurons.names) == 45
    assert len(me.neurons.names) == 45 + 19
    assert set(me.left_out) >= {"superseded", "number_nodes", "seal_gohm"}


def test_borrowable_neurons_are_those_without_morphology(tmp_path: Path) -> None:
    me = simulated_task(tmp_path, "me")
    borrowable = me.borrowable
    assert borrowable is not None
    assert not set(borrowable.specimen_id.tolist()) & set(me.neurons.specimen_id.tolist())
    assert not set(borrowable.group.tolist()) & set(me.neurons.group.tolist())
    assert borrowable.names == me.neurons.names
    shape = [name for name in borrowable.names if family_of(name) == "morphology"]
    assert np.isnan(
        borrowable.rows(np.arange(5)).X[:, [borrowable.names.index(n) for n in shape]]
    ).all()
    assert np.isfinite(borrowable.columns()["vrest"]).all()
    e = simulated_task(tmp_path)
    assert len(borrowable) == len(e.neurons) - len(me.neurons)


def test_derived_features_stand_behind_the_published_ones(tmp_path: Path) -> None:
    plain, derived = simulated_task(tmp_path), simulated_task(tmp_path, features="derived")
    kept = [name for name in plain.neurons.names if name not in REPLACED]
    assert list(derived.neurons.names[: len(kept)]) == kept
    assert set(derived.neurons.names[len(kept) :]) == {
        name for name in FORMULAS_WITH_CONTRASTS if not name.startswith("missing_")
    }
    assert all(family_of(name) == "derived" for name in derived.neurons.names[len(kept) :])
    columns = derived.neurons.columns()
    gap = columns["peak_v_ramp"] - columns["threshold_v_ramp"]
    # The same subtraction of the same numbers.
    assert np.array_equal(columns["height_ramp"], gap)
    both = np.column_stack([columns["width_ramp"], columns["rise_ramp"] + columns["fall_ramp"]])
    # The same two differences, one or two at a time.
    assert np.allclose(both[:, 0], both[:, 1], rtol=1e-9, atol=1e-12, equal_nan=True)


def test_what_a_formula_replaces_can_be_had_back_from_it(tmp_path: Path) -> None:
    plain = simulated_task(tmp_path).neurons.columns()
    columns = simulated_task(tmp_path, features="derived").neurons.columns()
    peak = columns["threshold_t_ramp"] + columns["rise_ramp"]
    back = {
        "peak_t_ramp": peak,
        "fast_trough_t_ramp": peak + columns["fall_ramp"],
        "trough_t_ramp": peak + columns["recovery_ramp"],
        "slow_trough_t_ramp": peak + columns["slow_recovery_ramp"],
        "fast_trough_v_ramp": columns["threshold_v_ramp"] - columns["fast_drop_ramp"],
        "slow_trough_v_ramp": columns["threshold_v_ramp"] - columns["slow_drop_ramp"],
    }
    assert set(back) == {name for name in REPLACED if name.endswith("_ramp")}
    for name, values in back.items():
        assert name not in columns
        assert np.allclose(values, plain[name], rtol=1e-9, equal_nan=True), name


def test_a_column_stays_where_its_formula_cannot_be_had(tmp_path: Path) -> None:
    neurons = simulated_task(tmp_path).neurons
    names = tuple(name for name in neurons.names if name != "threshold_v_ramp")
    columns = neurons.columns()
    fewer = replace(neurons, X=np.column_stack([columns[n] for n in names]), names=names)
    assert "fast_trough_v_ramp" in add_derived(fewer).names
    assert "fast_trough_v_long_square" not in add_derived(fewer).names


def test_formulas_of_the_baseline_are_not_changed() -> None:
    assert list(FORMULAS_WITH_CONTRASTS)[: len(FORMULAS)] == list(FORMULAS)
    assert all(FORMULAS_WITH_CONTRASTS[name] == text for name, text in FORMULAS.items())


def test_the_table_that_is_there_is_enough(tmp_path: Path) -> None:
    simulated_task(tmp_path)
    (tmp_path / "e-type.csv").unlink()
    assert simulated_lone(tmp_path).borrowable is None


def simulated_lone(folder: Path):  # type: ignore[no-untyped-def]
    return load_task("me", folder)


@pytest.mark.parametrize(
    ("name", "features", "reason"),
    [
        ("m", "curated", "unknown task 'm': did you mean 'me'"),
        ("e", "derive", "did you mean 'derived'"),
        ("e", "curated", "fetch it with `data_pipeline.py fetch etypes`"),
        ("sts", "curated", "no feature table in"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, name: str, features: str, reason: str) -> None:
    with pytest.raises(StsError, match=reason):
        load_task(name, tmp_path, features=features)


def test_tasks_are_these() -> None:
    assert set(TASKS) == {"e", "me", "sts"}


@pytest.mark.data
def test_the_real_tables_are_read(data_dir: Path) -> None:
    e, me = (load_task(name, data_dir / "allen") for name in ("e", "me"))
    assert (len(e.neurons), len(me.neurons)) == (1485, 328)
    assert me.borrowable is not None
    assert len(me.borrowable) == 1485 - 328
    assert e.neurons.counts().min() == 28
    assert set(me.neurons.group.tolist()) <= set(e.neurons.group.tolist())
    # A quarter of the neurons without morphology, so that all of M+E are scored.
    assert read_tuning_groups() <= set(me.borrowable.group.tolist())
    assert len(read_tuning_groups()) == pytest.approx((1485 - 328) / 4, abs=9)
    # Times count from the onset: the median first spike on a short square comes within 5 ms.
    assert 0 < np.nanmedian(e.neurons.columns()["threshold_t_short_square"]) < 0.005


@pytest.mark.data
def test_of_the_sts_cells_the_holdout_stays_closed(data_dir: Path) -> None:
    task = load_task("sts", data_dir / "sts" / "data")
    assert len(task.neurons) == 3577
    assert task.neurons.classes == ("Pvalb", "Excitatory", "Vip/Lamp5", "Sst")
