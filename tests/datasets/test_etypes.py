"""E-types belong to specimens, whether the table has ids or not."""

import csv
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.base.files import read_csv
from sts.datasets.etypes import MATCHED, find_etypes, read_etypes

FEATURES = [
    {"specimen_id": "1", **dict.fromkeys(MATCHED, "1.5")},
    {"specimen_id": "2", **dict.fromkeys(MATCHED, "-70.0000000001234")},
    {"specimen_id": "3", **dict.fromkeys(MATCHED, "")},
]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_ids_in_the_table_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "e-type.csv", "specimen_id;e-type;vrest\n1;Exc_3;-70\n2;Inh_1;\n")
    assert read_etypes(path) == {"1": "Exc_3", "2": "Inh_1"}


def test_specimens_are_recognised_by_their_features(tmp_path: Path) -> None:
    lines = [
        ";".join(["e-type", *MATCHED]),
        ";".join(["Exc_1", *["1.50"] * len(MATCHED)]),
        ";".join(["Inh_2", *["-70.00000000012"] * len(MATCHED)]),
        ";".join(["Inh_3", *["2"] * len(MATCHED)]),
    ]
    path = write(tmp_path / "e-type.csv", "\n".join(lines))
    assert read_etypes(path, features=FEATURES) == {"1": "Exc_1", "2": "Inh_2"}
    assert read_etypes(path) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column 'e-type'"),
        ("specimen_id,e-type\n1,Exc_1\n", "separated by `;`"),
        ("specimen_id;e-type\n1;\n", "line 2: 2 values with an e-type"),
        ("specimen_id;e-type\n1;Exc_1;3\n", "line 2: 2 values with an e-type"),
    ],
)
def test_another_table_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StsError, match=reason):
        read_etypes(write(tmp_path / "e-type.csv", text))


def test_the_table_is_found_in_a_folder_of_data(tmp_path: Path) -> None:
    assert find_etypes(tmp_path) is None
    path = write(tmp_path / "etypes" / "e-type.csv", "")
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
