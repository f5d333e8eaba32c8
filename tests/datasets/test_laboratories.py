"""Data sets of several laboratories come as one table: features, classes, types, donors."""

from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.datasets.check import ranges
from sts.datasets.column_maps import COLUMN_MAPS, read_column_map
from sts.datasets.laboratories import (
    LABORATORIES,
    LabelledTable,
    find_laboratories,
    read_laboratories,
    read_laboratory,
    subclass_of,
)
from sts.signals.feature_names import FEATURES
from tests.datasets.laboratory_worlds import HELD, write_features_of, write_laboratories

SPECIES = {"HumanInterneurons": "human", "AllenHuman": "human"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_laboratories(folder)
    return folder


def facts_of(table: LabelledTable, specimen: str) -> tuple[str, ...]:
    (at,) = np.flatnonzero(table.specimen_id == specimen)
    names = ("label", "subclass", "t_type", "met_type")
    return tuple(str(getattr(table, name)[at]) for name in names)


@pytest.mark.parametrize(
    ("name", "specimen", "facts"),
    [
        ("PatchClamp", "1001", ("Excitatory", "", "", "")),
        ("PatchClamp", "1003", ("Sst", "Sst", "", "")),
        ("PatchSeq", "1006", ("Vip/Lamp5", "Sncg", "Sncg Vip", "")),
        ("PatchSeq", "1007", ("Sst", "Sst", "Sst Nts", "")),
        ("ExcitatoryV1", "5001", ("Excitatory", "L4/5 IT", "L4 IT VISp Rspo1", "L4/L5 IT")),
        ("ExcitatoryV1", "5002", ("Excitatory", "L5 ET", "L5 ET VISp Krt80", "L5 ET-1 Chrna6")),
        ("ExcitatoryV1", "5003", ("Excitatory", "L6b", "L6b VISp Crh", "")),
        ("MotorCortex", "c1", ("Pvalb", "Pvalb", "Pvalb Reln", "")),
        ("MotorCortex", "c2", ("Excitatory", "L2/3 IT", "L2/3 IT_3", "")),
        ("MotorCortex", "c3", ("Vip/Lamp5", "Sncg", "Sncg Npy2r", "")),
        ("MotorCortex", "c4", ("", "", "", "")),
        ("MotorCortex", "c5", ("", "", "", "")),
        ("HumanInterneurons", "7001", ("Pvalb", "Pvalb", "Inh L2-4 PVALB WFDC2", "")),
        ("HumanInterneurons", "7002", ("Vip/Lamp5", "Pax6", "Inh L1-2 PAX6 CDH12", "")),
        ("HumanInterneurons", "7003", ("Vip/Lamp5", "", "Inh L1 SST NMBR", "")),
    ],
)
def test_a_cell_has_the_class_and_types_that_its_files_give_it(
    data: Path, name: str, specimen: str, facts: tuple[str, ...]
) -> None:
    assert facts_of(read_laboratory(name, data), specimen) == facts


@pytest.mark.parametrize("name", [name for name in LABORATORIES if name != "AllenHuman"])
def test_every_data_set_keeps_one_contract(data: Path, name: str) -> None:
    table = read_laboratory(name, data)
    assert len(table) == len(set(table.specimen_id.tolist())) > 0
    assert set(table.dataset.tolist()) == {name}
    assert set(table.label.tolist()) <= {"", *CLASSES}
    assert set(table.species.tolist()) == {SPECIES.get(name, "mouse")}
    assert set(table.preparation.tolist()) <= {"acute", "cultured"}
    assert table.names == FEATURES
    assert table.X.shape == (len(table), len(FEATURES))
    there = set(table.features_of(name))
    assert there
    assert np.isnan(table.X[:, [each not in there for each in FEATURES]]).all()
    if LABORATORIES[name].is_mapped:
        assert there == set(read_column_map(COLUMN_MAPS, dataset=name).terms)
    rows = table.rows(np.array([0]))
    assert isinstance(rows, LabelledTable)
    assert rows.t_type.tolist() == table.t_type[:1].tolist()


def test_cultured_cells_and_donors_are_named(data: Path) -> None:
    human = read_laboratory("HumanInterneurons", data)
    assert human.preparation.tolist() == ["acute", "cultured", "cultured", "acute"]
    assert set(human.donor_id.tolist()) == {"H17"}
    assert set(read_laboratory("PatchSeq", data).donor_id.tolist()) == {"331294"}


@pytest.mark.parametrize("name", ["PatchClamp", "PatchSeq", "ExcitatoryV1"])
def test_a_published_test_cell_is_on_the_test_side_alone(data: Path, name: str) -> None:
    train = set(read_laboratory(name, data).specimen_id.tolist())
    test = set(read_laboratory(name, data, side="test").specimen_id.tolist())
    assert train
    assert test
    assert not train & set(HELD)
    assert test <= set(HELD)


def test_a_listed_specimen_is_a_test_cell_too(tmp_path: Path) -> None:
    write_laboratories(tmp_path / "data")
    (tmp_path / "data" / "more").mkdir()
    (tmp_path / "data" / "more" / "published_test_ids.txt").write_text("5001\n")
    train = read_laboratory("ExcitatoryV1", tmp_path / "data")
    assert train.specimen_id.tolist() == ["5002", "5003", "1006"]


def test_data_that_may_hold_unknown_test_cells_are_refused(tmp_path: Path) -> None:
    write_laboratories(tmp_path)
    for side in ("Train", "Test"):
        (tmp_path / "Split" / f"{side}_split.csv").unlink()
    for name in ("PatchClamp", "PatchSeq", "ExcitatoryV1"):
        with pytest.raises(StsError, match="may contain cells of the published test split"):
            read_laboratory(name, tmp_path)
    assert len(read_laboratory("MotorCortex", tmp_path)) == 5


def test_a_cell_of_two_data_sets_is_taken_from_the_first(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = read_laboratories(["PatchSeq", "ExcitatoryV1", "MotorCortex"], data)
    assert len(set(both.specimen_id.tolist())) == len(both)
    assert facts_of(both, "1006")[0] == "Vip/Lamp5"
    assert "1 cells of ExcitatoryV1 are left out" in caplog.text
    alone = read_laboratories(["ExcitatoryV1"], data)
    assert facts_of(alone, "1006")[0] == "Excitatory"


def test_human_cells_of_the_published_table_are_a_data_set_of_their_own(tmp_path: Path) -> None:
    write_laboratories(tmp_path)
    lines = ["1001,spiny,Homo Sapiens", "1002,aspiny,Homo Sapiens", "1003,spiny,Mus musculus"]
    header = "specimen_id,dendrite_type,species"
    (tmp_path / "human" / "allen_human_cells.csv").write_text("\n".join([header, *lines]))
    table = read_laboratory("AllenHuman", tmp_path)
    assert table.specimen_id.tolist() == ["1001", "1002"]
    assert table.label.tolist() == ["Excitatory", ""]
    assert table.dendrite.tolist() == ["spiny", "aspiny"]
    assert set(table.species.tolist()) == {"human"}


def test_a_missing_file_names_the_command_that_brings_it(tmp_path: Path) -> None:
    for name, each in LABORATORIES.items():
        with pytest.raises(StsError, match=f"fetch {each.sources[0]}"):
            read_laboratory(name, tmp_path)
    write_features_of(tmp_path / "m1", "MotorCortex", ["c1"])
    with pytest.raises(StsError, match=r"no m1_patchseq_meta_data\.csv .*fetch motor-cortex"):
        read_laboratory("MotorCortex", tmp_path)
    with pytest.raises(StsError, match="unknown data set 'Motor': did you mean 'MotorCortex'"):
        read_laboratory("Motor", tmp_path)
    assert find_laboratories(tmp_path) == ("MotorCortex",)


@pytest.mark.parametrize(
    ("name", "subclass"),
    [
        ("Sst Calb2 Pdlim5", "Sst"),
        ("L2/3 IT VISp Agmat", "L2/3 IT"),
        ("L4/L5 IT", "L4/5 IT"),
        ("L5/L6 IT Car3", "L5/6 IT"),
        ("L5 ET-1 Chrna6", "L5 ET"),
        ("L5/6 NP CT", "L5/6 NP"),
        ("L6b P2ry12", "L6b"),
        ("", ""),
    ],
)
def test_the_subclass_stands_in_the_name_of_a_type(name: str, subclass: str) -> None:
    assert subclass_of(name) == subclass


# Data set, the class or dendrite type of cells to compare, and a data set with cells of that kind.
ALIKE = [
    ("ExcitatoryV1", "Excitatory", "PatchClamp"),
    ("MotorCortex", "Pvalb", "PatchSeq"),
    ("MotorCortex", "Sst", "PatchSeq"),
    ("MotorCortex", "Vip/Lamp5", "PatchSeq"),
    ("MotorCortex", "Excitatory", "PatchClamp"),
    ("HumanInterneurons", "Pvalb", "PatchSeq"),
    ("HumanInterneurons", "Sst", "PatchSeq"),
    ("HumanInterneurons", "Vip/Lamp5", "PatchSeq"),
]


@pytest.fixture(scope="module")
def real(data_dir: Path) -> dict[str, LabelledTable]:
    return {name: read_laboratory(name, data_dir) for name in LABORATORIES}


@pytest.mark.data
@pytest.mark.parametrize(("name", "label", "other"), ALIKE)
def test_features_of_a_class_lie_where_those_of_another_data_set_do(
    real: dict[str, LabelledTable], name: str, label: str, other: str
) -> None:
    """A wrong unit, sign or sum is off by far more than laboratories, ages and species are."""
    table, known = real[name], real[other]
    own = table.rows(table.label == label).columns()
    their = known.rows(known.label == label).columns()
    for feature in table.features_of(name):
        median = np.nanmedian(own[feature])
        low, high = np.nanpercentile(their[feature], [1, 99])
        # Human cells sag more, and spikes are taller at 25 C: by less than half of this range.
        room = (high - low) / 2
        assert low - room <= median <= high + room, (feature, median, low, high)
        assert ranges()[feature].low <= median <= ranges()[feature].high, feature


@pytest.mark.data
def test_equal_columns_are_equal_on_cells_that_two_data_sets_share(
    real: dict[str, LabelledTable],
) -> None:
    table, known = real["ExcitatoryV1"], real["PatchSeq"]
    shared, own, their = np.intersect1d(table.specimen_id, known.specimen_id, return_indices=True)
    if not len(shared):
        pytest.skip("no cell is in both tables here: these are pieces")
    agreement = read_column_map(COLUMN_MAPS, dataset="ExcitatoryV1").agreement
    for feature in (name for name, found in agreement.items() if found == "equal"):
        ours = table.columns()[feature][own]
        theirs = known.columns()[feature][their]
        both = np.isfinite(ours) & np.isfinite(theirs)
        # As measured: another sweep was chosen in a few of them.
        assert np.isclose(ours[both], theirs[both], rtol=1e-3).mean() > 0.9, feature


@pytest.mark.data
def test_the_real_data_sets_have_the_cells_that_were_counted(
    real: dict[str, LabelledTable],
) -> None:
    # Of PatchClamp and PatchSeq those that are in no test side: published, or of the pieces.
    assert {name: len(table) for name, table in real.items()} == {
        "PatchClamp": 1428,
        "PatchSeq": 2914,
        "ExcitatoryV1": 1005,
        "MotorCortex": 664,
        "HumanInterneurons": 277,
        "AllenHuman": 413,
    }
    patchseq = real["PatchSeq"]
    assert len(set(patchseq.t_type.tolist()) - {""}) == 62
    assert (patchseq.label[patchseq.subclass == "Serpinf1"] == "Vip/Lamp5").all()
    # 48 of low quality, 3 whose transcriptome contradicts their firing
    assert (real["MotorCortex"].label == "").sum() == 51
