"""A sound folder of data has nothing to say against itself; each fault is found and named."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.datasets.check import CHANGE, RANGES, RULES, check, ranges, write_cases
from sts.datasets.ep_tables import find_ep_tables, load_ep_tables, with_onsets
from sts.datasets.splits import SPLIT_NAME, split_of
from sts.datasets.store import write_store
from sts.datasets.table import write_features
from sts.signals.feature_names import FEATURES, TIME_FEATURES
from tests.datasets.allen import CELL_TYPES, PATCHSEQ, write_cell_types, write_patchseq
from tests.datasets.ep_worlds import make_table, rows_of, write_own, write_published
from tests.datasets.plausible import plausible_table
from tests.datasets.stores import make_store

# Cell i is specimen 1000 + i, of the classes in turn: Pvalb, Excitatory, Vip/Lamp5, Sst.
PVALB, EXCITATORY, VIP = "1000", "1001", "1002"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder laid out as the published one: 40 cells, 8 of them held out."""
    write_published(tmp_path, plausible_table(40))
    (tmp_path / "cell_types_GouwensAll_new.txt").write_text(
        (tmp_path / "cell_types_GouwensAll_new.txt").read_text().replace("Unsure 999\n", "")
    )
    return tmp_path


def edit(path: Path, old: str, new: str, *, count: int = 1) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")


def set_value(path: Path, specimen: str, name: str, value: str) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    key = header.index("specimen_id" if "specimen_id" in header else "cell_specimen_id")
    for row in rows:
        if specimen in ("all", row[key]):
            row[header.index(name)] = value
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_a_sound_folder_has_no_contradiction(data: Path) -> None:
    checked = check(data)
    assert checked.cases == {}
    assert not checked.must_change
    assert checked.counts[0] == ("PatchClamp", "Pvalb", "5", "4", "1", "5", "0")
    assert checked.counts[-1] == ("all", "", "40", "32", "8", "40", "0")


def test_the_folder_is_left_as_it_was(data: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    check(data)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


LABELS = "cell_types_GouwensAll_new.txt"
TRAIN, TEST = "Split/Train_split.csv", "Split/Test_split.csv"
CLAMP, SEQ = "Split/PatchClamp_EP_features.csv", "Split/PatchSeq_EP_features.csv"

Fault = tuple[Callable[[Path], object], str]
# Of every rule that published files can break: how, and what is said of the first case.
FAULTS: dict[str, Fault] = {
    "unreadable": (
        lambda data: append(data / TEST, "10x0, Seq\n"),
        "Test_split.csv, line 9: '10x0' is not a specimen id",
    ),
    "both sides": (lambda data: append(data / TRAIN, "1000, Clamp\n"), "1000 (train and test)"),
    "no side": (lambda data: edit(data / TRAIN, "1001, Clamp\n", ""), "1001 (Excitatory)"),
    "published test": (
        lambda data: (data / "published_test_ids.txt").write_text("1001\n"),
        "1001 (trains nothing)",
    ),
    "unlabelled in split": (
        lambda data: edit(data / LABELS, "Excitatory 1001\n", "Unsure 1001\n"),
        "1001 (labelled Unsure)",
    ),
    "other data set": (
        lambda data: edit(data / TRAIN, "1001, Clamp", "1001, Seq"),
        "1001 (PatchClamp here, PatchSeq in",
    ),
    "second store": (
        lambda data: [
            write_store(data / name / "sweeps.h5", make_store(4)) for name in ("mine", "other")
        ],
        "600000 (the first is in",
    ),
    "second table": (lambda data: write_own(data, plausible_table(8)), "1000 (the first is in"),
    "unit": (
        lambda data: set_value(data / CLAMP, "all", "tau", "0.02"),
        "tau is plausible from 2 to 200 ms",
    ),
    "range": (
        lambda data: set_value(data / CLAMP, EXCITATORY, "ri", "-111.8"),
        "1001 (-111.8, ri is plausible from 10 to 1000 MOhm)",
    ),
    "alike": (
        lambda data: append(
            data / SEQ, (data / SEQ).read_text().splitlines()[1].replace("1004", "2000") + "\n"
        ),
        "2000 (as 1004)",
    ),
    "Unsure": (lambda data: append(data / LABELS, "Unsure 999\n"), "999 (left out)"),
    "no cell": (lambda data: append(data / LABELS, "Sst 998\n"), "998 (Sst)"),
    "no label": (
        lambda data: edit(data / LABELS, "Excitatory 1001\n", ""),
        "1001 (no class known)",
    ),
    "empty class": (
        lambda data: edit(data / LABELS, "Excitatory ", "Pvalb ", count=99),
        "Excitatory",
    ),
    "e-type": (
        lambda data: write_etypes(data, {EXCITATORY: "Inh_2", PVALB: "Inh_8", VIP: "Exc_1"}),
        "1001 (Excitatory, but e-type Inh_2), 1002 (Vip/Lamp5, but e-type Exc_1)",
    ),
    "T-type": (
        lambda data: write_patchseq(
            data / PATCHSEQ,
            [(VIP, "1", "a-331294", "Sst Nts", ""), (PVALB, "2", "a-331295", "Pvalb Tpbg", "")],
        ),
        "1002 (Vip/Lamp5, but T-type Sst Nts)",
    ),
    "dendrite": (
        lambda data: write_cell_types(
            data / CELL_TYPES,
            [
                (EXCITATORY, "Rorb-IRES2-Cre", "a-331294", "aspiny", "Mus musculus"),
                (PVALB, "Pvalb-IRES-Cre", "a-331295", "aspiny", "Mus musculus"),
            ],
        ),
        "1001 (Excitatory, but aspiny)",
    ),
    "shared donor": (
        lambda data: write_patchseq(
            data / PATCHSEQ,
            [(name, name[1:], "a-331294", "", "") for name in ("1000", "1001", "1002")],
        ),
        "donor 331294, 2 to train on, 1 held out",
    ),
}


def write_etypes(data: Path, etypes: dict[str, str]) -> None:
    lines = [f"{specimen};{etype}" for specimen, etype in etypes.items()]
    (data / "e-type.csv").write_text("\n".join(["specimen_id;e-type", *lines]), encoding="utf-8")


@pytest.mark.parametrize("rule", FAULTS)
def test_a_fault_is_found_and_named(data: Path, rule: str) -> None:
    spoil, said = FAULTS[rule]
    spoil(data)
    checked = check(data)
    (line,) = [
        line
        for line in checked.lines(RULES[rule].severity)
        if re.match(rf"\d+ {re.escape(RULES[rule].words)}: ", line)
    ]
    assert said in line
    assert line.startswith(f"{len(checked.cases[rule])} ")
    assert checked.must_change == any(RULES[name].severity == CHANGE for name in checked.cases)


@pytest.mark.parametrize("rule", [name for name in FAULTS if RULES[name].severity != CHANGE])
def test_what_is_only_to_know_is_all_that_is_found(data: Path, rule: str) -> None:
    FAULTS[rule][0](data)
    found = set(check(data).cases)
    # a cell without a label is unknown in the split too, if the split has it
    assert found - {rule} <= {"unlabelled in split", "no label"}


def test_both_ends_of_a_range_are_guarded(data: Path) -> None:
    set_value(data / CLAMP, PVALB, "vrest", "-95.5")
    set_value(data / CLAMP, EXCITATORY, "vrest", "-34.5")
    set_value(data / CLAMP, VIP, "vrest", "-35")
    assert {case.specimen_id for case in check(data).cases["range"]} == {PVALB, EXCITATORY}


def test_a_cell_may_bear_another_label_in_its_store_than_in_the_file(data: Path) -> None:
    store = make_store(4)
    write_store(data / "mine" / "sweeps.h5", store)
    append(data / LABELS, "Sst 600000\nExcitatory 600001\n")
    cases = check(data).cases
    (case,) = cases["other label"]
    assert (case.specimen_id, case.detail) == ("600000", "Pvalb here, Sst there")
    assert {case.specimen_id for case in cases["no side"]} == set(store.specimen_id.tolist())


def test_donors_on_both_sides_matter_where_donors_were_divided(tmp_path: Path) -> None:
    table = replace(make_table(40), donor_id=np.array([f"d{at}" for at in range(40)]))
    write_features(
        tmp_path / "features.csv",
        [
            replace(row, donor_id=str(donor))
            for row, donor in zip(rows_of(table), table.donor_id, strict=True)
        ],
    )
    split = split_of(table, tmp_path, group_by="donor")
    assert "donor" not in check(tmp_path).cases
    one, other = min(split.train), min(split.test)
    text = (tmp_path / "features.csv").read_text(encoding="utf-8")
    donors = {name: f"d{int(name) - 1000}" for name in (one, other)}
    text = text.replace(f"{one},{donors[one]},", f"{one},{donors[other]},")
    (tmp_path / "features.csv").write_text(text, encoding="utf-8")
    (case,) = check(tmp_path).cases["donor"]
    assert case.detail == f"donor {donors[other]}, 1 to train on, 1 held out"
    assert case.where == str(tmp_path / SPLIT_NAME)


def test_cells_that_are_new_to_our_own_split_are_only_noted(tmp_path: Path) -> None:
    write_own(tmp_path, make_table(40))
    split_of(make_table(40), tmp_path)
    write_own(tmp_path, make_table(41))
    checked = check(tmp_path)
    (case,) = checked.cases["new to split"]
    assert (case.specimen_id, RULES["new to split"].severity) == ("1040", "note")


def test_own_stores_and_tables_without_labels_are_counted(tmp_path: Path) -> None:
    write_store(tmp_path / "mine" / "sweeps.h5", make_store(4))
    (tmp_path / "other").mkdir()
    write_own(tmp_path / "other", make_table(8))
    counts = check(tmp_path).counts
    assert counts[-1] == ("all", "", "12", "0", "0", "8", "4")


def test_an_empty_folder_names_what_brings_data(tmp_path: Path) -> None:
    with pytest.raises(StsError) as refused:
        check(tmp_path)
    assert "\n" not in str(refused.value)
    for command in ("fetch sts-tables", "fetch etypes", "build"):
        assert f"data_pipeline.py {command}" in str(refused.value)


def test_a_folder_of_unreadable_files_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "sweeps.h5").write_text("no")
    (tmp_path / LABELS).write_bytes(b"\xff\xfe")
    assert len(check(tmp_path).cases["unreadable"]) == 2


def test_every_case_is_a_line_of_the_file(data: Path, tmp_path: Path) -> None:
    for rule in ("both sides", "e-type", "range"):
        FAULTS[rule][0](data)
    checked = check(data)
    write_cases(tmp_path / "cases.csv", checked)
    with (tmp_path / "cases.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["severity"], row["rule"], row["specimen_id"]) for row in rows] == [
        ("change", "both sides", "1000"),
        ("note", "range", "1001"),
        ("note", "e-type", "1001"),
        ("note", "e-type", "1002"),
    ]


def test_every_rule_is_tried() -> None:
    elsewhere = {"other label", "donor", "new to split"}
    # test_marks.py tries these
    elsewhere |= {name for name in RULES if name.startswith("marked ")}
    assert set(FAULTS) | elsewhere == set(RULES)


@pytest.mark.data
def test_the_published_tables_contradict_themselves_as_measured(
    data_dir: Path, tmp_path: Path
) -> None:
    for name in (LABELS, TRAIN, TEST, CLAMP, SEQ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(data_dir / "sts" / "data" / name)
    (tmp_path / "e-type.csv").symlink_to(data_dir / "allen" / "e-type.csv")
    checked = check(tmp_path)
    assert not checked.must_change
    # Recordings without the second sweep, of 5,087 labelled cells.
    assert len(checked.cases["no side"]) == 615
    # of the 1,288 cells here that have an e-type
    assert len(checked.cases["e-type"]) == 65
    # human cells
    assert len(checked.cases["no label"]) == 413
    assert len(checked.cases["Unsure"]) == 150
    assert set(checked.cases) == {"no side", "e-type", "range", "no label", "Unsure"}
    # 122 of 250,000 values; most of them times of cells that fire before a short square
    assert len(checked.cases["range"]) < 150


def test_every_feature_has_a_range_with_a_reason() -> None:
    found = ranges()
    assert tuple(found) == FEATURES
    for name, bounds in found.items():
        assert bounds.low < bounds.high, name
        assert bounds.reason, name
        assert bounds.unit == "s" or name not in TIME_FEATURES


def test_every_line_of_the_table_is_of_use() -> None:
    reasons = {bounds.reason for bounds in ranges().values()}
    lines = RANGES.read_text(encoding="utf-8").splitlines()[1:]
    assert len(lines) == len({line.split(",")[0] for line in lines})
    assert len(reasons) == len(lines)


@pytest.mark.data
def test_real_cells_lie_inside_and_a_wrong_unit_outside(data_dir: Path) -> None:
    table = load_ep_tables(find_ep_tables(data_dir / "sts" / "data"))
    absolute = with_onsets(table).columns()
    for name, values in table.columns().items():
        bounds, known = ranges()[name], values[np.isfinite(values)]
        outside = (known < bounds.low) | (known > bounds.high)
        # the worst is slow_trough_t_short_square, of cells that fire before the onset: 9 of 622
        assert outside.mean() < 0.02, name
        wrong = known / 1000
        if name in TIME_FEATURES and name.endswith("_short_square") and "trough_t_s" not in name:
            wrong = absolute[name][np.isfinite(values)]
        if bounds.low > 0 and not name.startswith(("upstroke", "threshold_i_short")):
            assert np.mean((wrong < bounds.low) | (wrong > bounds.high)) > 0.9, name
