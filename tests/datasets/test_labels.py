"""Labels are read as text, and a wrong line is named."""

import csv
import logging
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.base.types import CLASSES
from sts.datasets.labels import (
    MATCHED,
    CellLabel,
    find_etypes,
    labels_of,
    read_etypes,
    read_label_file,
    read_labels,
)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_ids_and_classes_is_enough(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "specimen_id,label\n007,Sst\n8,Vip/Lamp5\n"))
    assert labels == {
        "007": CellLabel(specimen_id="007", label="Sst"),
        "8": CellLabel(specimen_id="8", label="Vip/Lamp5"),
    }


def test_data_set_and_donor_are_taken_where_they_are_there(tmp_path: Path) -> None:
    text = "\ufeffdonor_id,label,dataset,specimen_id,more\r\nd 1,Pvalb,PatchSeq,1,x\r\n"
    assert read_labels(write(tmp_path, text)) == {
        "1": CellLabel(specimen_id="1", label="Pvalb", dataset="PatchSeq", donor_id="d 1")
    }


def test_the_published_layout_is_read_and_the_unsure_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sts"):
        labels = read_labels(write(tmp_path, "Pvalb 469801138\nUnsure 5\nSst 6\nUnsure 7\n"))
    assert {key: label.label for key, label in labels.items()} == {"469801138": "Pvalb", "6": "Sst"}
    assert "2 cells labelled Unsure are left out" in caplog.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"no labels in .*labels\.csv"),
        ("specimen_id,label\n", r"no labels in .*labels\.csv"),
        ("Unsure 5\n", r"no labels in .*labels\.csv"),
        ("specimen,label\n1,Sst\n", "no column 'specimen_id'"),
        ("specimen_id,class\n1,Sst\n", "no column 'label'"),
        (
            "specimen_id,label\n1,Sst\n\n2,Pvlab\n",
            "line 4: unknown class 'Pvlab': did you mean 'Pvalb'?",
        ),
        ("specimen_id,label\n1,\n", "line 2: unknown class ''"),
        ("specimen_id,label\n,Sst\n", "line 2: no specimen id"),
        (
            "specimen_id,label\n1,Sst\n2,Sst\n1,Sst\n",
            "line 4: specimen 1 has a label in line 2 already",
        ),
        ("Sst 1\nPvalb 1\n", "line 2: specimen 1 has a label in line 1 already"),
        ("Sst 1\nPvalb\n", "line 2: 'Pvalb' is not a class and a specimen id"),
        ("Sst 1a\n", "line 1: 'Sst 1a' is not a class and a specimen id"),
        ("Sst 1 2\n", "line 1: 'Sst 1 2' is not a class and a specimen id"),
        ("Unsure 1\nSst 1\n", "line 2: specimen 1 has a label in line 1 already"),
        ("pvalb 1\n", "line 1: unknown class 'pvalb': did you mean 'Pvalb'?"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StsError) as refused:
        read_labels(write(tmp_path, text))
    assert refused.match(reason.replace("?", r"\?"))
    assert "labels.csv" in str(refused.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"cannot read .*labels\.csv: no such file"):
        read_labels(tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_bytes(b"specimen_id,label\n\xff\xfe,Sst\n")
    with pytest.raises(StsError, match="not UTF-8 text"):
        read_labels(tmp_path / "labels.csv")


def test_the_unsure_are_known_by_name(tmp_path: Path) -> None:
    found = read_label_file(write(tmp_path, "Pvalb 1\nUnsure 5\nUnsure 7\n"))
    assert (set(found.labels), found.unsure) == ({"1"}, {"5", "7"})


def test_labels_are_found_in_a_folder_of_data_the_published_ones_first(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"data_pipeline\.py fetch sts-tables"):
        labels_of(tmp_path)
    write(tmp_path, "specimen_id,label\n1,Sst\n")
    assert set(labels_of(tmp_path).labels) == {"1"}
    published = tmp_path / "cell_types_GouwensAll_new.txt"
    published.write_text("Pvalb 2\n", encoding="utf-8")
    assert labels_of(tmp_path).path == published


@pytest.mark.data
def test_the_published_labels_are_those_of_the_study(data_dir: Path) -> None:
    labels = read_labels(data_dir / "sts" / "data" / "cell_types_GouwensAll_new.txt")
    counts = [sum(one.label == name for one in labels.values()) for name in CLASSES]
    # 852, 637, 1,438 and 1,545 of the training cells; the others are of no split.
    assert counts == [995, 810, 1609, 1673]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_labels_may_be_separated_by_semicolons_or_tabs(
    tmp_path: Path, separator: str
) -> None:
    lines = [("specimen_id", "label", "donor_id"), ("a 1", "Sst", "d1"), ("a 2", "Vip/Lamp5", "")]
    text = "\n".join(separator.join(line) for line in lines)
    found = read_labels(write(tmp_path, text))
    assert {name: (one.label, one.donor_id) for name, one in found.items()} == {
        "a 1": ("Sst", "d1"),
        "a 2": ("Vip/Lamp5", ""),
    }


def test_published_lines_may_be_separated_by_tabs(tmp_path: Path) -> None:
    assert set(read_labels(write(tmp_path, "Sst\t1\nPvalb\t2\n"))) == {"1", "2"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("specimen_id,label\n" + "7" * 201 + ",Sst\n", "line 2: a specimen id has 201 characters"),
        ("specimen_id,label\n1\x1b[2J,Sst\n", "line 2: a specimen id contains a character that"),
        ("specimen_id,label\n1,Sst\x00\n", "line 2: a NUL character"),
        ("specimen_id,label\n1," + "S" * 999 + "\n", "line 2: the label has 999 characters"),
        ("specimen_id,label,donor_id\n1,Sst,d\x07\n", "line 2: the donor_id contains a character"),
        ("Sst " + "7" * 201 + "\n", "line 1: a specimen id has 201 characters"),
    ],
)
def test_names_that_cannot_be_names_are_one_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StsError) as refused:
        read_labels(write(tmp_path, text))
    assert reason in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


FEATURES = [
    {"specimen_id": "1", **dict.fromkeys(MATCHED, "1.5")},
    {"specimen_id": "2", **dict.fromkeys(MATCHED, "-70.0000000001234")},
    {"specimen_id": "3", **dict.fromkeys(MATCHED, "")},
]


def write_file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_ids_in_the_table_are_taken(tmp_path: Path) -> None:
    path = write_file(tmp_path / "e-type.csv", "specimen_id;e-type;vrest\n1;Exc_3;-70\n2;Inh_1;\n")
    assert read_etypes(path) == {"1": "Exc_3", "2": "Inh_1"}


def test_specimens_are_recognised_by_their_features(tmp_path: Path) -> None:
    lines = [
        ";".join(["e-type", *MATCHED]),
        ";".join(["Exc_1", *["1.50"] * len(MATCHED)]),
        ";".join(["Inh_2", *["-70.00000000012"] * len(MATCHED)]),
        ";".join(["Inh_3", *["2"] * len(MATCHED)]),
    ]
    path = write_file(tmp_path / "e-type.csv", "\n".join(lines))
    assert read_etypes(path, features=FEATURES) == {"1": "Exc_1", "2": "Inh_2"}
    assert read_etypes(path) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column 'e-type'"),
        ("specimen_id;e-type\n", "no cell in"),
        ("specimen_id;e-type\n1;\n", "line 2: no e-type"),
        ("specimen_id;e-type\n1;Exc_1;3\n", "line 2: expected 2 values, not 3"),
    ],
)
def test_another_table_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StsError, match=reason):
        read_etypes(write_file(tmp_path / "e-type.csv", text))


def test_the_table_is_found_in_a_folder_of_data(tmp_path: Path) -> None:
    assert find_etypes(tmp_path) is None
    path = write_file(tmp_path / "etypes" / "e-type.csv", "")
    assert find_etypes(tmp_path) == path


@pytest.mark.data
def test_the_published_table_gets_its_specimens_back(data_dir: Path, tmp_path: Path) -> None:
    """Take the ids that were added to the table away, and recover them."""
    given = data_dir / "allen" / "e-type.csv"
    with given.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    place = rows[0].index("specimen_id")
    bare = tmp_path / "e-type.csv"
    with bare.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows([*r[:place], *r[place + 1 :]] for r in rows)
    known = read_csv(data_dir / "sts" / "data" / "Split" / "PatchClamp_EP_features.csv", [])
    here = {row["specimen_id"] for row in known}
    wanted = {key: value for key, value in read_etypes(given).items() if key in here}
    # Of 1,485 neurons, those that have features here.
    assert len(wanted) == 1288
    # Equal in all features, so that both get what one has; the other is kept back.
    twin = {"322762730": read_etypes(given)["466632464"]}
    assert read_etypes(bare, features=known) == wanted | twin
