"""A split is made once and holds: new cells are added to it, the others stay on their sides."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.datasets.cells import Cells
from sts.datasets.splits import (
    SPLIT_NAME,
    Split,
    find_split,
    folds_of,
    keep_aside,
    read_split_file,
    split_of,
)
from sts.datasets.store import write_store
from sts.datasets.table import FeatureRow, write_features
from tests.datasets.stores import make_store


def make_cells(n: int, *, per_donor: int = 1) -> Cells:
    """Return cells of the four classes in turn, in two data sets, some of one donor."""
    return Cells(
        specimen_id=np.array([f"{1000 + i}" for i in range(n)]),
        donor_id=np.array([f"donor {i // per_donor}" for i in range(n)]),
        label=np.array([CLASSES[i % 4] for i in range(n)]),
        dataset=np.array([("PatchSeq", "PatchClamp")[i // 4 % 2] for i in range(n)]),
        claimed_id=np.full(n, ""),
    )


def write_published(data: Path, train: str, test: str) -> None:
    (data / "Split").mkdir(parents=True)
    (data / "Split" / "Train_split.csv").write_text(train, encoding="utf-8")
    (data / "Split" / "Test_split.csv").write_text(test, encoding="utf-8")


def sides_of(path: Path) -> tuple[list[str], list[str]]:
    kept = json.loads((path / SPLIT_NAME).read_text(encoding="utf-8"))
    return kept["train"], kept["test"]


def test_one_in_five_is_held_out_of_every_class_and_data_set(tmp_path: Path) -> None:
    cells = make_cells(400)
    split = split_of(cells, tmp_path)
    held_out = np.isin(cells.specimen_id, sorted(split.test))
    for label in CLASSES:
        for dataset in ("PatchSeq", "PatchClamp"):
            group = (cells.label == label) & (cells.dataset == dataset)
            assert held_out[group].sum() == 10, "one in five of 50"
    assert not split.train & split.test


def test_the_file_says_how_it_was_made(tmp_path: Path) -> None:
    split = split_of(make_cells(40), tmp_path, seed=7)
    kept = json.loads((tmp_path / SPLIT_NAME).read_text(encoding="utf-8"))
    assert (kept["format"], kept["group_by"], kept["seed"]) == ("sts-split 2", "donor", 7)
    assert (split.group_by, split.seed, split.is_published) == ("donor", 7, False)
    assert find_split(tmp_path) == split
    assert find_split(tmp_path / "elsewhere") is None


def test_the_order_of_the_cells_changes_nothing(tmp_path: Path) -> None:
    cells = make_cells(80)
    split_of(cells, tmp_path / "a")
    split_of(cells.rows(np.arange(80)[::-1]), tmp_path / "b")
    assert sides_of(tmp_path / "a") == sides_of(tmp_path / "b")


def test_another_seed_divides_otherwise(tmp_path: Path) -> None:
    cells = make_cells(80)
    assert split_of(cells, tmp_path / "a").test != split_of(cells, tmp_path / "b", seed=1).test


def test_a_donor_stands_on_one_side_and_classes_are_even(tmp_path: Path) -> None:
    cells = make_cells(400, per_donor=4)
    split = split_of(cells, tmp_path)
    held_out = np.isin(cells.specimen_id, sorted(split.test))
    assert not set(cells.donor_id[held_out]) & set(cells.donor_id[~held_out])
    # every donor has one cell of each class, so that no division is uneven
    assert [int((cells.label[held_out] == label).sum()) for label in CLASSES] == [20] * 4


def test_cells_without_a_donor_are_divided_one_by_one(tmp_path: Path) -> None:
    cells = make_cells(40)
    cells = replace(cells, donor_id=np.array([""] * 40))
    assert len(split_of(cells, tmp_path, group_by="donor").test) == 8


def test_classes_are_spread_evenly_over_folds() -> None:
    cells = make_cells(120)
    for fitted, scored in folds_of(cells, 3):
        assert not set(fitted) & set(scored)
        assert [int((cells.label[scored] == label).sum()) for label in CLASSES] == [10] * 4


def test_few_cells_give_a_fifth_away_and_many_a_tenth() -> None:
    for n, kept in ((80, 16), (1600, 200), (4000, 400)):
        fitted, aside = keep_aside(make_cells(n))
        assert len(aside) == kept
        assert sorted([*fitted, *aside]) == list(range(n))
        counts = [sum(make_cells(n).label[aside] == label) for label in CLASSES]
        assert counts == [kept / 4] * 4


def test_a_donor_is_not_kept_aside_in_part() -> None:
    cells = make_cells(240, per_donor=6)
    fitted, aside = keep_aside(cells, group_by="donor")
    assert not set(cells.donor_id[fitted]) & set(cells.donor_id[aside])


def test_of_a_class_of_three_cells_one_is_kept_aside() -> None:
    cells = make_cells(80)
    fewer = cells.rows((cells.label != CLASSES[0]) | (np.arange(80) < 12))
    _, aside = keep_aside(fewer)
    assert sum(fewer.label[aside] == CLASSES[0]) == 1


def test_a_kept_split_is_never_remade(tmp_path: Path) -> None:
    cells = make_cells(40)
    first = split_of(cells, tmp_path)
    written = (tmp_path / SPLIT_NAME).read_bytes()
    assert split_of(cells, tmp_path, seed=9) == first
    # Cells that are gone keep their sides: they may come back.
    assert split_of(make_cells(36), tmp_path) == first
    assert (tmp_path / SPLIT_NAME).read_bytes() == written


def added(before: Split, after: Split) -> set[str]:
    """Return the specimens that were added, having checked that no other has moved."""
    assert before.train <= after.train
    assert before.test <= after.test
    return set((after.train | after.test) - (before.train | before.test))


def test_a_row_more_does_not_redraw_the_others(tmp_path: Path) -> None:
    first = split_of(make_cells(40), tmp_path)
    second = split_of(make_cells(41), tmp_path)
    assert added(first, second) == {"1040"}
    assert find_split(tmp_path) == second
    third = split_of(make_cells(400), tmp_path)
    assert len(added(second, third)) == 359
    cells = make_cells(400)
    held_out = np.isin(cells.specimen_id, sorted(third.test))
    for label in CLASSES:
        for dataset in ("PatchSeq", "PatchClamp"):
            group = (cells.label == label) & (cells.dataset == dataset)
            # New cells make up for what is short, to less than one cell of each kind.
            assert abs(held_out[group].sum() - 10) <= 1


def test_cells_that_come_one_by_one_are_held_out_one_in_five(tmp_path: Path) -> None:
    split_of(make_cells(40), tmp_path)
    for count in range(41, 121):
        split = split_of(make_cells(count), tmp_path)
    # A kind of 15 cells may be short of its three by rounding.
    assert abs(len(split.test) - 24) <= 4


def test_a_new_cell_stands_where_its_donor_does(tmp_path: Path) -> None:
    old, everyone = make_cells(80, per_donor=2), make_cells(120, per_donor=2)
    donor_id = everyone.donor_id.copy()
    donor_id[80:] = [f"donor {at % 40}" for at in range(40)]
    first = split_of(old, tmp_path)
    second = split_of(replace(everyone, donor_id=donor_id), tmp_path)
    assert len(added(first, second)) == 40
    held = {donor_id[at] for at in range(120) if str(1000 + at) in second.test}
    kept = {donor_id[at] for at in range(120) if str(1000 + at) in second.train}
    assert not held & kept


def test_a_table_has_a_split_of_its_own_in_the_workspace(tmp_path: Path) -> None:
    cells = make_cells(40)
    split = split_of(cells, tmp_path, table="mine")
    assert split.origin == str(tmp_path / "splits" / "mine.json")
    assert not (tmp_path / SPLIT_NAME).exists()
    assert find_split(tmp_path) is None
    # The published split of the workspace is of other cells.
    write_published(tmp_path, "1000, Seq\n1001, Clamp\n", "1002, Seq\n")
    assert split_of(cells.rows(np.arange(40) != 2), tmp_path, table="mine") == split
    other = split_of(cells.rows(np.arange(40) != 2), tmp_path, table="other")
    assert "1002" not in other.train | other.test, "of the published test split"


def test_other_donors_break_a_split_by_donor_only(tmp_path: Path) -> None:
    cells = make_cells(80, per_donor=2)
    moved = replace(cells, donor_id=np.roll(cells.donor_id, 1))
    split_of(cells, tmp_path / "donor")
    with pytest.raises(StsError, match=r"has cells on both sides of .* donor ids have changed"):
        split_of(moved, tmp_path / "donor", group_by="donor")
    split = split_of(cells, tmp_path / "specimen", group_by="specimen")
    assert split_of(moved, tmp_path / "specimen") == split


def test_a_changed_grouping_is_refused(tmp_path: Path) -> None:
    cells = make_cells(40)
    split = split_of(cells, tmp_path, group_by="specimen")
    with pytest.raises(StsError, match="divided by specimen, not by donor: use --group-by sp"):
        split_of(cells, tmp_path, group_by="donor")
    assert split_of(cells, tmp_path) == split, "as it was made, where nothing is asked for"
    with pytest.raises(StsError, match="did you mean 'donor'"):
        split_of(cells, tmp_path, group_by="doner")


def test_stores_and_tables_share_one_split(tmp_path: Path) -> None:
    store = make_store(40)
    write_store(tmp_path / "mine" / "sweeps.h5", store)
    ids = [*store.specimen_id.tolist(), "extra 1", "extra 2"]
    rows = [FeatureRow(specimen_id=name, label="Sst") for name in ids[20:]]
    write_features(tmp_path / "mine" / "features.csv", rows)
    table = Cells(
        specimen_id=np.array(ids[20:]),
        donor_id=np.array([""] * 22),
        label=np.array(["Sst"] * 22),
        dataset=np.array([""] * 22),
        claimed_id=np.array([""] * 22),
    )
    split = split_of(store, tmp_path)
    assert split.train | split.test == set(ids), "also cells that only the table has"
    assert split_of(table, tmp_path) == split


def test_a_cell_that_lost_its_label_is_not_gone(tmp_path: Path) -> None:
    store = make_store(40)
    split = split_of(store, tmp_path)
    write_store(tmp_path / "sweeps.h5", replace(store, label=np.array([""] * 40)))
    assert split_of(store.rows(np.arange(20)), tmp_path) == split


SOUND = {
    "format": "sts-split 2",
    "group_by": "donor",
    "seed": 0,
    "train": ["1"],
    "test": ["2"],
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "sts-split 1"}, "is not a split of this program"),
        ({"group_by": None}, "lacks sides or group_by"),
        ({"seed": "3"}, "seed in .* is '3'"),
        ({"seed": -1}, "seed in .* is -1"),
        ({"train": None}, "lacks sides or group_by"),
        ({"test": "2"}, "lacks sides or group_by"),
        ({"test": [2]}, "lacks sides or group_by"),
        ({"train": ["1", "2"]}, "specimen 2 is listed twice"),
        ({"group_by": "doner"}, "did you mean 'donor'"),
    ],
)
def test_a_broken_split_is_not_replaced(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    text = json.dumps(SOUND | change)
    (tmp_path / SPLIT_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(StsError, match=reason):
        split_of(make_cells(40), tmp_path, group_by="donor")
    assert (tmp_path / SPLIT_NAME).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_what_is_no_split_is_not_replaced_either(tmp_path: Path, text: str) -> None:
    (tmp_path / SPLIT_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(StsError, match=SPLIT_NAME):
        split_of(make_cells(40), tmp_path)
    assert (tmp_path / SPLIT_NAME).read_text(encoding="utf-8") == text


def test_too_few_cells_of_a_class_are_named(tmp_path: Path) -> None:
    # The share of held-out cells is fixed: fewer folds would not help.
    with pytest.raises(StsError, match=r"only 1 specimens of class Pvalb for 5 .*; add cells$"):
        split_of(make_cells(4), tmp_path)
    with pytest.raises(
        StsError, match=r"only 2 donors of class Pvalb for 3 parts.*--group-by specimen"
    ):
        folds_of(make_cells(8, per_donor=4), 3, group_by="donor")
    assert not (tmp_path / SPLIT_NAME).exists()


def test_the_published_split_is_read_with_its_data_sets(tmp_path: Path) -> None:
    write_published(tmp_path, "1000, Seq\n1001, Clamp\n", "1002, Seq\r\n")
    split = split_of(make_cells(3), tmp_path)
    assert (split.train, split.test) == ({"1000", "1001"}, {"1002"})
    assert not (tmp_path / SPLIT_NAME).exists()
    assert read_split_file(tmp_path / "Split" / "Train_split.csv") == {
        "1000": "PatchSeq",
        "1001": "PatchClamp",
    }


def test_a_part_of_the_published_cells_is_enough_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_published(tmp_path, "1000, Seq\n1001, Clamp\n", "1002, Seq\n")
    with caplog.at_level(logging.WARNING, logger="sts"):
        split_of(make_cells(2), tmp_path)
    assert "1 specimens of" in caplog.text
    assert "such as 1002" in caplog.text


def test_cells_that_the_published_split_does_not_divide_are_counted_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_published(tmp_path, "1000, Seq\n", "1001, Seq\n")
    split = split_of(make_cells(11), tmp_path)
    assert split.train | split.test == {"1000", "1001"}
    (line,) = [each.getMessage() for each in caplog.records]
    assert line == (
        "9 labelled cells are in neither part of the published split and are left out: "
        "Pvalb 2 (PatchClamp 1, PatchSeq 1), Excitatory 2 (PatchClamp 1, PatchSeq 1), "
        "Vip/Lamp5 3 (PatchClamp 1, PatchSeq 2), Sst 2 (PatchClamp 1, PatchSeq 1)"
    )
    # Published as it is, whatever is asked for.
    assert split_of(make_cells(2), tmp_path, group_by="donor") == split


def test_cells_none_of_which_the_published_split_divides_are_refused(tmp_path: Path) -> None:
    write_published(tmp_path, "1, Seq\n", "2, Seq\n")
    with pytest.raises(StsError, match=r"none of these 3 labelled cells is in .*with --data"):
        split_of(make_cells(3), tmp_path)


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        ("", "lists no cell"),
        ("1000, Seq\n1000, Seq\n", "line 2: specimen 1000 is already listed in line 1"),
        ("1000, Sec\n", "line 1: unknown source 'Sec': did you mean 'Seq'?"),
        ("\n1000\n", "line 2: expected 2 values, not 1"),
        ("100a, Seq\n", "line 1: '100a' is not a specimen id"),
        ("1001, Seq\n", "1 specimens are on both sides"),
    ],
)
def test_a_wrong_line_of_the_published_split_is_named(
    tmp_path: Path, train: str, reason: str
) -> None:
    write_published(tmp_path, train, "1001, Seq\n")
    with pytest.raises(StsError) as refused:
        split_of(make_cells(2), tmp_path)
    assert reason in str(refused.value)
    assert "Split" in str(refused.value)


def test_half_a_published_split_is_refused(tmp_path: Path) -> None:
    write_published(tmp_path, "1000, Seq\n", "1001, Seq\n")
    (tmp_path / "Split" / "Test_split.csv").unlink()
    with pytest.raises(StsError, match="one half of the published split: fetch the other"):
        split_of(make_cells(2), tmp_path)


@pytest.mark.data
def test_the_published_split_divides_the_published_cells(data_dir: Path) -> None:
    split = find_split(data_dir / "sts" / "data")
    assert split is not None
    assert (len(split.train), len(split.test)) == (3577, 895)
