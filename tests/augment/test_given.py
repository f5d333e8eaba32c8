"""Rows with given features: only such rows, from the law of the generator, and plain refusals."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sts.augment.evaluate import PreparedItem, make_training_rows
from sts.augment.fidelity import scale_sides
from sts.augment.given import LEAST_ACCEPTED, TRIED_ROWS, Condition, make_condition
from sts.augment.grid import Grid, Item
from sts.augment.neurons import Neurons
from sts.base.errors import StsError
from tests.augment.tables import NAMES, blobs, halves

METADATA = "20200711_patchseq_metadata_mouse.csv"


def pairs(counts: tuple[int, ...] = (900, 600)) -> Neurons:
    """Return classes in which tau and ri rise together, and sag does not."""
    neurons = blobs(counts)
    X = neurons.X.copy()
    rng = np.random.default_rng(1)
    X[:, 1] = 10 + rng.standard_normal(len(X))
    X[:, 3] = 0.8 * (X[:, 1] - 10) + 0.6 * rng.standard_normal(len(X))
    return Neurons(**(vars(neurons) | {"X": X, "specimen_id": ids(len(X)), "group": ids(len(X))}))


def ids(count: int) -> np.ndarray:
    return np.array([str(1000 + number) for number in range(count)])


def write_dendrites(folder: Path, neurons: Neurons, spiny: np.ndarray) -> None:
    """Write metadata of the Allen Institute; the last neuron is not among them."""
    lines = ["cell_specimen_id,donor_id,donor_name,dendrite_type,ephys_session_id,t_type"]
    names = neurons.specimen_id.tolist()[:-1]
    lines += [
        f"{name},{name},m-{name},{'spiny' if each else 'aspiny'},9{name},"
        for name, each in zip(names, spiny.tolist(), strict=False)
    ]
    (folder / METADATA).write_text("\n".join(lines), encoding="utf-8")


def item_of(neurons: Neurons, condition: Condition | None, method: str = "copula") -> Item:
    grid = Grid(added=(200,), classifiers=("lda",), curves=False)
    return Item(
        method=method,
        task="e",
        division=halves(neurons),
        neurons=neurons,
        grid=grid,
        condition=condition,
    )


def in_units(prepared: PreparedItem, rows: np.ndarray) -> np.ndarray:
    return prepared.view.space.inverse_transform(rows)


@pytest.mark.parametrize("method", ["copula", "smote", "random", "mixup", "arf"])
def test_every_added_row_has_the_given_features_and_all_its_columns(
    method: str, tmp_path: Path
) -> None:
    neurons = pairs()
    condition = make_condition(["tau=11:", "sag=:0.5"], neurons, tmp_path)
    prepared = PreparedItem(item_of(neurons, condition, method))
    rows, y = prepared.generate({0: 150, 1: 40}, "added")
    assert np.bincount(y).tolist() == [150, 40]
    assert rows.shape[1] == prepared.view.native.shape[1]
    X = in_units(prepared, rows)
    assert X[:, NAMES.index("tau")].min() >= 11
    assert X[:, NAMES.index("sag")].max() <= 0.5
    training = make_training_rows(prepared, 200, 1.0)
    assert training.synthetic == 400


def test_accepted_rows_follow_real_cells_with_these_features_and_not_all_cells(
    tmp_path: Path,
) -> None:
    neurons = pairs()
    condition = make_condition(["tau=11:"], neurons, tmp_path)
    prepared = PreparedItem(item_of(neurons, condition))
    ri = in_units(prepared, prepared.generate({0: 400}, "added")[0])[:, NAMES.index("ri")]
    own = (neurons.y == 0) & condition.met
    real = stats.ks_2samp(ri, neurons.X[own, NAMES.index("ri")])
    everyone = stats.ks_2samp(ri, neurons.X[neurons.y == 0, NAMES.index("ri")])
    assert real.statistic < 0.15
    assert everyone.statistic > 0.4
    sides = scale_sides(prepared)
    assert len(sides.training[0]) == condition.met[prepared.item.division.fit].sum()
    assert len(sides.held_out[0]) == condition.met[prepared.item.division.scored].sum()


@pytest.mark.parametrize("method", ["copula", "smote", "random"])
def test_a_dendrite_is_learnt_beside_the_features_and_is_none_of_them(
    method: str, tmp_path: Path
) -> None:
    neurons = pairs()
    # Spiny neurons have a high resistance; a third of class 0, none of class 1.
    spiny = (neurons.X[:, NAMES.index("ri")] > 0.4) & (neurons.y == 0)
    write_dendrites(tmp_path, neurons, spiny)
    condition = make_condition(["dendrite=spiny"], neurons, tmp_path)
    assert condition.met.tolist() == [*spiny.tolist()[:-1], False]
    prepared = PreparedItem(item_of(neurons, condition, method))
    rows, y = prepared.generate({0: 300, 1: 300}, "added")
    assert Counter(y.tolist()) == {0: 300}
    assert rows.shape[1] == prepared.view.native.shape[1]
    # 0.35 of all neurons of the class. A copula of a feature with two values is blurred.
    high = in_units(prepared, rows)[:, NAMES.index("ri")] > 0.4
    assert high.mean() > (0.55 if method == "copula" else 0.8)
    (note,) = (each for each in prepared.generator.notes if each.startswith("class 1"))
    assert note == "class 1: no training neuron has dendrite=spiny, so no row is added"


def test_a_class_with_too_few_such_rows_gets_none_and_says_how_many_there_were(
    tmp_path: Path,
) -> None:
    neurons = pairs()
    X, fit = neurons.X.copy(), halves(neurons).fit
    X[neurons.y == 1, 1] -= 20
    X[fit[neurons.y[fit] == 1][0], 1] = 11.0
    changed = Neurons(**(vars(neurons) | {"X": X}))
    prepared = PreparedItem(
        item_of(changed, make_condition(["tau=11:"], changed, tmp_path), "copula")
    )
    _, y = prepared.generate({0: 30, 1: 30}, "added")
    assert Counter(y.tolist()) == {0: 30}
    (note,) = (each for each in prepared.generator.notes if each.startswith("class 1"))
    assert f"of {TRIED_ROWS:,} rows have tau=11: (1 training neurons have)" in note
    assert int(note.split()[2]) < LEAST_ACCEPTED * TRIED_ROWS


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("tau", "name a feature and its values, such as tau=15:25"),
        ("tau=", "name a feature and its values"),
        ("taw=1:2", "unknown feature in --given 'taw': did you mean 'tau'"),
        ("tau=20", "hardly a row has exactly this value"),
        ("tau=a:b", "'a:b' is no range of numbers"),
        ("tau=3:2", "the smaller end comes first"),
        ("tau=90:", "no neuron has tau=90:: tau is"),
        ("dendrite=spiny", "says which dendrite these neurons have"),
    ],
)
def test_what_cannot_be_given_is_one_line(given: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(StsError) as refused:
        make_condition([given], pairs((40, 30)), tmp_path)
    assert reason in str(refused.value)


def test_an_unknown_dendrite_names_the_known_ones(tmp_path: Path) -> None:
    neurons = pairs((40, 30))
    write_dendrites(tmp_path, neurons, neurons.y == 0)
    with pytest.raises(StsError, match="did you mean 'spiny'"):
        make_condition(["dendrite=spny"], neurons, tmp_path)
    with pytest.raises(StsError, match="tau is given twice"):
        make_condition(["tau=9:", "tau=:11"], neurons, tmp_path)
