"""Published tables are read once a neuron, with ids, and refused with a reason."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sts.augment.neurons import ONSET_S, read_neuron_table
from sts.base.errors import StsError
from sts.base.files import read_csv

HEAD = "specimen_id;e-type;vrest;vm_for_sag;peak_t_long_square;seal_gohm;superseded\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_times_count_from_the_onset_and_technical_columns_are_gone(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "2;b;-70;-90;1.52;1;False\n1;a;-60;;;2;False\n")
    neurons = read_neuron_table(path)
    assert neurons.names == ("vrest", "vm_for_sag", "peak_t_long_square")
    assert neurons.specimen_id.tolist() == ["1", "2"]
    assert neurons.classes == ("a", "b")
    assert neurons.X[1, 2] == pytest.approx(1.52 - ONSET_S)
    assert np.isnan(neurons.X[0, 1:]).all()


@pytest.mark.parametrize("order", [("True", "False"), ("False", "True")])
def test_of_two_reconstructions_the_newer_is_kept(tmp_path: Path, order: tuple[str, str]) -> None:
    rows = {"True": "1;a;-61;-90;1.5;1;True\n", "False": "1;a;-60;-90;1.5;1;False\n"}
    path = write(tmp_path, HEAD + "".join(rows[each] for each in order) + "2;b;-70;-90;1;1;False\n")
    neurons = read_neuron_table(path)
    assert len(neurons) == 2
    assert neurons.X[0, 0] == -60


def test_a_superseded_row_that_is_the_only_one_stays(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "1;a;-61;-90;1.5;1;True\n2;b;-70;-90;1;1;False\n")
    assert len(read_neuron_table(path)) == 2


def test_neurons_of_equal_values_stand_in_one_group(tmp_path: Path) -> None:
    path = write(
        tmp_path, HEAD + "1;a;-61;-90;1.5;1;False\n2;a;-61;-90;1.5;1;False\n3;b;-70;-90;1;1;False\n"
    )
    neurons = read_neuron_table(path)
    assert neurons.group[0] == neurons.group[1] != neurons.group[2]


def test_without_ids_equal_rows_are_one_neuron_and_known_ones_get_their_id(tmp_path: Path) -> None:
    text = HEAD.removeprefix("specimen_id;")
    rows = ("a;-61;-90;1.5;1;True\n", "a;-61;-90;1.5;1;False\n", "b;-70;-90;1;1;False\n")
    path = write(tmp_path, text + "".join(rows))
    known = [
        {"specimen_id": "77", "vrest": "-61.00", "vm_for_sag": "-90", "peak_t_long_square": "1.5"}
    ]
    neurons = read_neuron_table(path, known=known)
    assert len(neurons) == 2
    assert neurons.specimen_id[0] == "77"
    assert neurons.specimen_id[1].startswith("row-")


def test_classes_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    rows = (f"{n};Inh_{n};-{n};-90;1;1;False\n" for n in (10, 2, 1))
    assert read_neuron_table(write(tmp_path, HEAD + "".join(rows))).classes == (
        "Inh_1",
        "Inh_2",
        "Inh_10",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column 'e-type' in"),
        ("specimen_id;vrest\n1;-70\n", "no column 'e-type' in"),
        ("specimen_id;e-type;vrest\n1;a;-70\n", "fewer than two e-types"),
        ("specimen_id;e-type;vrest\n1;a;-70\n2;;-60\n", "line 3: no e-type"),
        ("specimen_id;e-type;vrest\n1;a;-70\n2;b\n", "line 3: expected 3 values, not 2"),
        ("specimen_id;e-type;vrest\n1;a;x\n2;b;-60\n", "column 'vrest'"),
        ("specimen_id;e-type;vrest\n1;a;x\n2;b;-60\n", "'x' of specimen 1 is no number"),
        ("specimen_id;e-type;vrest\n1;a;-60,5\n2;b;-60\n", "'-60,5' of specimen 1"),
        ("specimen_id;e-type;vrest\n1;a;inf\n2;b;-60\n", "infinite"),
        ("specimen_id;e-type;vrest\n1;a;1e300\n2;b;-60\n", "contains 1e\\+300 for 1"),
        ("specimen_id;e-type;vrest;vrest\n1;a;1;2\n2;b;1;2\n", "a column of .* appears twice"),
        # What pandas writes in front of its rows: sorted by class, it would tell everything.
        (";specimen_id;e-type;vrest\n0;1;a;1\n1;2;b;2\n", "column 1 of .* has no name"),
        ("specimen_id;e-type;vrest\n1;a;-70\n1;b;-60\n", "is a in one row and b in"),
        ("specimen_id;e-type;seal_gohm\n1;a;1\n2;b;1\n", "besides technical columns"),
    ],
)
def test_another_table_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StsError, match=reason):
        read_neuron_table(write(tmp_path, text))


def test_what_spreadsheets_do_to_a_table_changes_nothing(tmp_path: Path) -> None:
    plain = HEAD + "1;ä b;-61;-90;1.5;1;False\n2;日本;-70;;1;1;False\n"
    wanted = read_neuron_table(write(tmp_path, plain))
    for changed in (
        "\ufeff" + plain,
        plain.replace("\n", "\r\n"),
        plain + "\n;;;;;;\n",
        plain.replace(";", " ; "),
        plain.replace("-70;;", "-70;NaN;"),
        plain.replace("-70;;", "-70;N/A;"),
        plain.replace("ä b", '"ä b"'),
    ):
        assert read_neuron_table(write(tmp_path, changed)).fingerprint() == wanted.fingerprint()
    assert wanted.classes == ("ä b", "日本")


@pytest.mark.data
def test_the_published_tables_lose_their_ids_and_get_them_back(
    data_dir: Path, tmp_path: Path
) -> None:
    known = read_csv(data_dir / "sts" / "data" / "Split" / "PatchClamp_EP_features.csv", [])
    ids = {row["specimen_id"] for row in known}
    for name in ("e-type.csv", "mee-type.csv"):
        with (data_dir / "allen" / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter=";"))
        bare = tmp_path / name
        with bare.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=";").writerows(row[1:] for row in rows)
        given = read_neuron_table(data_dir / "allen" / name)
        found = read_neuron_table(bare, known=known)
        assert len(found) == len(given)
        assert set(found.specimen_id.tolist()) >= set(given.specimen_id.tolist()) & ids
        assert set(found.group.tolist()) == set(given.group.tolist())
