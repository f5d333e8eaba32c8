"""The Allen Institute's tables say who a cell is, and the mapping which class that speaks for."""

import re
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.datasets.allen import (
    MAPPING,
    AllenCell,
    assign,
    contradicts,
    find_allen,
    mapping,
    read_allen,
)
from sts.datasets.labels import CellLabel, identities, read_label_file
from tests.datasets.allen import CELL_TYPES, PATCHSEQ, write_cell_types, write_patchseq


def cell(**said: str) -> AllenCell:
    return AllenCell(specimen_id="1", dataset="PatchSeq", **said)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ({"t_type": "Vip Gpc3 Slc18a3"}, "Vip/Lamp5"),
        ({"t_type": "Sncg Vip Itih5"}, "Vip/Lamp5"),
        ({"t_type": "Serpinf1 Aqp5 Vip"}, "Vip/Lamp5"),
        ({"t_type": "Pvalb Th Sst"}, "Pvalb"),
        ({"t_type": "Sst Chodl"}, "Sst"),
        ({"t_type": "L6 CT VISp Ctxn3 Brinp3"}, "Excitatory"),
        ({"t_type": "Meis2 Adamts19"}, "Vip/Lamp5"),
        ({"t_type": "Lamp5 Lsp1", "dendrite": "spiny"}, "Vip/Lamp5"),
        ({"dendrite": "spiny"}, "Excitatory"),
        ({"dendrite": "aspiny"}, ""),
        ({"dendrite": "sparsely spiny"}, ""),
        ({}, ""),
        ({"line": "Pvalb-IRES-Cre", "dendrite": "aspiny"}, "Pvalb"),
        ({"line": "Htr3a-Cre_NO152|Pvalb-T2A-Dre", "dendrite": "sparsely spiny"}, "Pvalb"),
        ({"line": "Rorb-IRES2-Cre", "dendrite": "spiny"}, "Excitatory"),
        ({"line": "Rorb-IRES2-Cre", "dendrite": "aspiny"}, ""),
        ({"line": "Ndnf-IRES2-dgCre", "dendrite": "spiny"}, ""),
        ({"line": "Gad2-IRES-Cre", "dendrite": "aspiny"}, ""),
        ({"line": "Gad2-IRES-Cre", "dendrite": "spiny"}, ""),
    ],
)
def test_metadata_speak_for_a_class(said: dict[str, str], label: str) -> None:
    found = assign(cell(**said))
    assert found.label == label
    assert found.reason


def test_what_the_mapping_does_not_know_is_named() -> None:
    assert assign(cell(t_type="Astro Aqp4")).reason == "T-type 'Astro' is not in mapping.csv"
    assert "Nobody-Cre" in assign(cell(line="Nobody-Cre")).reason
    contradicted = assign(cell(line="Rorb-IRES2-Cre", dendrite="aspiny")).reason
    assert contradicted == "Rorb-IRES2-Cre indicates Excitatory, but the dendrite is aspiny"


def test_every_line_of_the_mapping_has_a_class_or_none_and_a_reason() -> None:
    table = mapping()
    assert set(table) == {"T-type", "line", "dendrite", "RNA family", "human subclass"}
    lines = MAPPING.read_text(encoding="utf-8").splitlines()[1:]
    assert sum(map(len, table.values())) == len(lines), "a name is there twice"
    for known in table.values():
        for name, found in known.items():
            assert found.label in ("", *CLASSES), name
            assert found.reason, name
            assert name == "|".join(sorted(name.split("|"))), "lines are looked up in this order"


def test_only_a_whole_dendrite_contradicts() -> None:
    assert contradicts("Excitatory", "aspiny")
    assert contradicts("Sst", "spiny")
    assert not contradicts("Sst", "sparsely spiny")
    assert not contradicts("Excitatory", "sparsely spiny")
    assert not contradicts("", "spiny")


def test_both_tables_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    path = write_patchseq(tmp_path / "renamed.csv", [("11", "21", "mouse-331294", "Sst Nts ", "")])
    assert read_allen(path) == {
        "11": AllenCell(
            specimen_id="11",
            dataset="PatchSeq",
            donor_id="331294",
            session_id="21",
            t_type="Sst Nts",
        )
    }
    types = write_cell_types(
        tmp_path / "types.csv",
        [
            ("12", "Vipr2-IRES2-Cre|Slc32a1-T2A-FlpO", "mouse-337419", "aspiny", "Mus musculus"),
            ("13", "", "H16.03.003", "spiny", "Homo Sapiens"),
        ],
    )
    (only,) = read_allen(types).values()
    assert (only.specimen_id, only.dataset, only.donor_id) == ("12", "PatchClamp", "337419")
    assert only.line == "Slc32a1-T2A-FlpO|Vipr2-IRES2-Cre"
    assert assign(only).label == "Pvalb"


def test_a_donor_without_a_laboratory_number_keeps_its_id(tmp_path: Path) -> None:
    path = write_patchseq(tmp_path / "p.csv", [("11", "21", "nameless", "Sst Nts", "")])
    assert read_allen(path)["11"].donor_id == "9000"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([("11", "21", "a-331294", "", ""), ("11", "22", "a-331294", "", "")], "specimen 11 or"),
        ([("11", "21", "a-331294", "", ""), ("12", "21", "a-331294", "", "")], "specimen 12 or"),
        ([("x1", "21", "a-331294", "", "")], "'x1' is no specimen id"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(
    tmp_path: Path, cells: list[tuple[str, ...]], reason: str
) -> None:
    with pytest.raises(StsError, match=reason):
        read_allen(write_patchseq(tmp_path / PATCHSEQ, cells))


def test_another_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(StsError, match=re.escape(f"one of {PATCHSEQ}, {CELL_TYPES}")):
        read_allen(path)
    write_patchseq(path, [("11", "21", "a-331294", "", "")])
    path.write_text(path.read_text(encoding="utf-8").replace("t_type", "type"), encoding="utf-8")
    with pytest.raises(StsError, match="no column 't_type'"):
        read_allen(path)


def test_labels_come_from_metadata_and_the_others_are_counted(tmp_path: Path) -> None:
    path = write_patchseq(
        tmp_path / PATCHSEQ,
        [
            ("11", "21", "a-331294", "Sst Nts", "aspiny"),
            ("12", "22", "a-331294", "", "spiny"),
            ("13", "23", "a-331295", "", "aspiny"),
        ],
    )
    found = read_label_file(path)
    assert found.labels == {
        "11": CellLabel(specimen_id="11", label="Sst", dataset="PatchSeq", donor_id="331294"),
        "12": CellLabel(
            specimen_id="12", label="Excitatory", dataset="PatchSeq", donor_id="331294"
        ),
    }
    assert found.unsure == {"13"}


def test_a_recording_is_found_by_its_session_and_keeps_the_given_label(tmp_path: Path) -> None:
    write_patchseq(
        tmp_path / PATCHSEQ,
        [("11", "21", "a-331294", "Sst Nts", ""), ("12", "22", "a-331295", "Vip Gpc3", "")],
    )
    labels = tmp_path / "labels.txt"
    labels.write_text("Pvalb 11\nSst 99\n", encoding="utf-8")
    known = identities(labels, near=[tmp_path / "nowhere", tmp_path])
    assert known["21"] == known["11"]
    assert known["11"] == CellLabel(
        specimen_id="11", label="Pvalb", dataset="PatchSeq", donor_id="331294"
    )
    assert known["22"].specimen_id == "12"
    assert known["22"].label == "", "what the given file does not label has no label"
    assert known["99"].label == "Sst"
    # metadata given as labels speak for classes themselves
    assert identities(tmp_path / PATCHSEQ)["22"].label == "Vip/Lamp5"
    assert identities(None, near=[tmp_path])["22"].label == ""
    assert identities(None) == {}


def test_a_table_is_found_once(tmp_path: Path) -> None:
    path = write_patchseq(tmp_path / PATCHSEQ, [])
    assert find_allen([tmp_path, tmp_path / "." / "", tmp_path / "none"]) == [path.resolve()]
