"""An id that several different files claim is nobody's; who a cell is, all products agree on."""

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.types import CLASSES
from sts.datasets.build import BuildJob, build
from sts.datasets.build_files import CELLS_NAME
from sts.datasets.cell_files import CellFiles, FileStamp
from sts.datasets.cell_results import CellResult
from sts.datasets.cells import Cells
from sts.datasets.labels import CellLabel
from sts.datasets.specimen_ids import NOTES, NamedCell, name_cells
from sts.datasets.splits import folds_of
from sts.datasets.store import load_store
from sts.datasets.table import read_cells, read_features
from tests.studies.cells import write_cell

PRODUCTS = ("sweeps.h5", CELLS_NAME, "features.csv", "manifest.json")


def outcome(
    file: str,
    specimen: str = "",
    *,
    donor: str = "",
    content: str = "",
    claims: bool = True,
    was_read: bool = True,
) -> CellResult:
    return CellResult(
        file=file,
        files=(FileStamp(file=file, sha256=content or f"bytes of {file}"),),
        specimen_id=specimen or Path(file).stem,
        donor_id=donor,
        claims_id=claims and bool(specimen),
        was_read=was_read,
    )


def named(*outcomes: CellResult, **declared: CellFiles) -> list[NamedCell]:
    labels = {"7": CellLabel(specimen_id="7", label="Sst")}
    return name_cells(outcomes, labels, {cell.name: cell for cell in declared.values()})


def ids(cells: list[NamedCell]) -> list[str]:
    return [cell.specimen_id for cell in cells]


def donors(cells: list[NamedCell]) -> list[str]:
    return [cell.donor_id for cell in cells]


def test_an_id_that_one_file_claims_is_its_id() -> None:
    (cell,) = named(outcome("a.nwb", "7", donor="m"))
    assert (cell.specimen_id, cell.donor_id, cell.label, cell.notes) == ("7", "m", "Sst", ())


def test_an_id_that_two_different_files_claim_is_no_id() -> None:
    cells = named(outcome("a.nwb", "7"), outcome("b.nwb", "7"), outcome("c.nwb", "8"))
    assert ids(cells) == ["a", "b", "8"]
    assert donors(cells) == ["files that claim 7", "files that claim 7", ""]
    assert all(cell.notes[0].startswith("named by its file: 2 different") for cell in cells[:2])
    assert cells[2].notes == ()
    assert not any("; " in note for cell in cells for note in cell.notes)


def test_a_claimed_id_stays_known_where_a_file_names_the_cell() -> None:
    """So that a published test specimen can be left out of training under the name of a file."""
    outcomes = [outcome("a.nwb", "7"), outcome("b.nwb", "7"), outcome("c.nwb", "8")]
    labels = {name: CellLabel(specimen_id=name, label="Sst") for name in ("7", "8")}
    cells = name_cells(outcomes, labels)
    assert [(cell.specimen_id, cell.claimed_id) for cell in cells] == [
        ("a", "7"),
        ("b", "7"),
        ("8", ""),
    ]
    assert [cell.label for cell in cells] == ["Sst", "Sst", "Sst"]
    # A file of DANDI claims the id of a session, whose specimen the label names.
    by_session = {"7": CellLabel(specimen_id="77", label="Sst")}
    assert [cell.claimed_id for cell in name_cells(outcomes[:2], by_session)] == ["77", "77"]
    copy = outcome("copy.nwb", "7", content="bytes of a.nwb")
    assert [cell.claimed_id for cell in name_cells([*outcomes[:2], copy], {})] == ["7"] * 3


def test_a_declared_cell_keeps_its_id_and_claims_no_other() -> None:
    cell = CellFiles(name="a.abf + b.abf", paths={}, specimen_id="7")
    cells = named(outcome("a.abf + b.abf", "8"), outcome("c.nwb", "7"), one=cell)
    assert [cell.claimed_id for cell in cells] == ["", "7"]
    assert donors(cells) == ["files that claim 7"] * 2


def test_byte_identical_files_of_one_id_are_one_cell() -> None:
    cells = named(outcome("a.nwb", "7", content="x"), outcome("b.nwb", "7", content="x"))
    assert ids(cells) == ["7", "7"]
    assert [cell.double_of for cell in cells] == ["", "a.nwb"]
    mixed = named(
        outcome("a.nwb", "7", content="x"),
        outcome("b.nwb", "7", content="x"),
        outcome("c.nwb", "7"),
    )
    assert ids(mixed) == ["a", "a", "c"]
    assert mixed[1].double_of == "a.nwb"


def test_a_file_that_cannot_be_read_takes_no_id_away() -> None:
    cells = named(outcome("a.nwb", "7"), outcome("b.nwb", "7", was_read=False))
    assert ids(cells) == ["7", "7"]
    assert donors(cells) == ["", ""]


def test_files_of_one_name_in_several_folders_are_several_cells() -> None:
    """What a file is called is no claim: their donors are nobody's business."""
    cells = named(outcome("one/steps.abf"), outcome("two/steps.abf"))
    assert ids(cells) == ["one/steps", "two/steps"]
    assert donors(cells) == ["", ""]


def test_a_claim_is_surer_than_a_name() -> None:
    assert ids(named(outcome("7.abf"), outcome("b.nwb", "7"))) == ["7.abf", "7"]
    assert ids(named(outcome("b/7.abf"), outcome("c.nwb", "7"))) == ["b/7", "7"]


def test_no_two_cells_bear_one_name_whatever_files_are_called() -> None:
    cells = named(
        outcome("a.nwb", "b"),
        outcome("b.nwb", "c"),
        outcome("c.nwb", "a"),
        outcome("x/a.nwb", "b"),
        outcome("x/b.nwb", "x/a"),
        outcome("y.nwb", "x/a.nwb"),
        outcome("z.nwb", "x/a"),
    )
    assert len(set(ids(cells))) == len(cells)


def test_claimants_share_the_donor_that_is_known() -> None:
    cells = named(outcome("a.nwb", "7", donor="m"), outcome("b.nwb", "7"))
    assert donors(cells) == ["m", "m"]


def test_donors_of_claimants_become_one_with_all_their_cells() -> None:
    cells = named(
        outcome("a.nwb", "7", donor="m1"),
        outcome("b.nwb", "7", donor="m2"),
        outcome("c.nwb", "8", donor="m1"),
        outcome("d.nwb", "9", donor="m3"),
        outcome("e.nwb", "10", donor="m2"),
        outcome("f.nwb", "10", donor="m4"),
    )
    together = "m1 + m2 + m4"
    assert donors(cells) == [together, together, together, "m3", together, together]
    assert cells[2].notes == ("its own donor is m1: shares a side of a split with other donors",)


def test_the_same_bytes_under_two_names_share_a_side() -> None:
    cells = named(outcome("a.abf", content="x"), outcome("b.abf", content="x"))
    assert ids(cells) == ["a", "b"]
    assert len(set(donors(cells))) == 1
    assert donors(cells)[0]
    assert cells[1].notes[0].startswith("same bytes as a.abf")


def test_what_is_declared_is_surest() -> None:
    cell = CellFiles(name="a.abf + b.abf", paths={}, specimen_id="7", donor_id="m9")
    cells = named(outcome("a.abf + b.abf", "8", donor="m8"), outcome("c.nwb", "7"), one=cell)
    assert ids(cells) == ["7", "c"]
    assert donors(cells) == ["m9", "m9"]
    assert cells[0].notes[0].startswith("also claimed by 1 files")


def test_an_id_that_says_nothing_is_told() -> None:
    (cell,) = named(replace(outcome("a.nwb", claims=False), ignored_id="PLACEHOLDER"))
    assert cell.notes == ("named by its file: the id 'PLACEHOLDER' in it says nothing",)
    (cell,) = named(replace(outcome("a.nwb", claims=False), ignored_id="x" * 200))
    assert "of 200 characters or more" in cell.notes[0]


def test_every_note_is_known_as_one() -> None:
    outcomes = [outcome("a.nwb", "7", donor="m1"), outcome("b.nwb", "7", donor="m2")]
    for cell in named(*outcomes, outcome("c.nwb", "8", donor="m1")):
        assert all(note.startswith(NOTES) for note in cell.notes)


def write_other(folder: Path, specimen: str, *, rheobase_pa: float = 30, donor: str = "") -> Path:
    """Write a cell of its own in a file that states the id of another one."""
    path = write_cell(folder, f"file{rheobase_pa}", rheobase_pa=rheobase_pa)
    with h5py.File(path, "r+") as file:
        del file["general/session_id"]
        file["general/session_id"] = specimen
        if donor:
            del file["general/subject/subject_id"]
            file["general/subject/subject_id"] = donor
    # Not as the DANDI archive does: that name would state an id, too.
    return path.rename(path.with_name(f"cell{rheobase_pa}.nwb"))


@pytest.mark.parametrize("shared", ["101", "PLACEHOLDER", "", "n/a"])
def test_store_and_features_agree_on_who_a_row_is(job: BuildJob, shared: str) -> None:
    for rheobase_pa in (30, 50, 70):
        write_other(job.folder, shared, rheobase_pa=rheobase_pa)
    build(job)
    store, rows = load_store(job.out / "sweeps.h5"), read_cells(job.out / CELLS_NAME)
    measured = read_features(job.out / "features.csv")
    assert store.specimen_id.tolist() == ["cell30", "cell50", "cell70"]
    assert [row.specimen_id for row in rows] == store.specimen_id.tolist()
    assert [row.specimen_id for row in measured] == store.specimen_id.tolist()
    threshold_pa = [row.values["threshold_i_long_square"] for row in measured]
    # the stored current has a resolution of 0.1 pA
    np.testing.assert_allclose(store.rheobase_pa, threshold_pa, atol=0.1)
    np.testing.assert_allclose(store.rheobase_pa, [30, 50, 70], atol=0.1)
    claimed = ["101" if shared == "101" else ""] * 3
    assert store.claimed_id.tolist() == claimed
    assert [row.claimed_id for row in rows] == [row.claimed_id for row in measured] == claimed
    if shared:
        assert all(row.flags[0].startswith("named by its file") for row in rows)
        assert all(row.notes[0].startswith("named by its file") for row in measured)


def folds_with_claimants(*, claiming: bool) -> list[bool]:
    """Tell for some divisions whether two cells, which may claim one id, stand on one side."""
    outcomes = [
        outcome(
            f"{number:02}.nwb",
            "7" if claiming and number < 2 else f"id{number}",
            donor=f"m{number}",
        )
        for number in range(24)
    ]
    cells = named(*outcomes)
    who = Cells(
        specimen_id=np.array(ids(cells)),
        donor_id=np.array(donors(cells)),
        label=np.array([CLASSES[number // 6] for number in range(24)]),
        dataset=np.array([""] * 24),
        claimed_id=np.array([""] * 24),
    )
    divisions = (folds_of(who, 2, group_by="donor", seed=seed)[0] for seed in range(10))
    return [len({0, 1} & set(scored.tolist())) != 1 for _, scored in divisions]


def test_claimants_stand_on_one_side_of_every_division() -> None:
    assert all(folds_with_claimants(claiming=True))
    assert not all(folds_with_claimants(claiming=False)), "else this test could not fail"


def test_a_resumed_build_names_cells_as_a_fresh_one(job: BuildJob) -> None:
    write_other(job.folder, "101", rheobase_pa=30, donor="m1")
    write_other(job.folder, "102", rheobase_pa=50, donor="m1")
    build(job)
    assert load_store(job.out / "sweeps.h5").specimen_id.tolist() == ["101", "102"]
    write_other(job.folder, "101", rheobase_pa=70, donor="m2")
    report = build(replace(job, resume=True))
    assert report.worked_on == 1
    fresh = replace(job, out=job.out.with_name("fresh") / "mine")
    build(fresh)
    for name in PRODUCTS:
        assert (job.out / name).read_bytes() == (fresh.out / name).read_bytes(), name
    assert load_store(job.out / "sweeps.h5").specimen_id.tolist() == ["cell30", "102", "cell70"]
    (job.folder / "cell70.nwb").unlink()
    build(replace(job, resume=True))
    assert load_store(job.out / "sweeps.h5").specimen_id.tolist() == ["101", "102"]
    assert build(job).worked_on == 0


def test_a_failed_row_bears_the_id_of_its_file(job: BuildJob) -> None:
    write_cell(job.folder, "100")
    path = write_cell(job.folder, "101")
    with h5py.File(path, "r+") as file:
        for name in file["acquisition"]:
            file[f"acquisition/{name}"].attrs["neurodata_type"] = "VoltageClampSeries"
    shutil.copy(path, path.with_name("copy.nwb"))
    build(job)
    for row in (*read_cells(job.out / CELLS_NAME), *read_features(job.out / "features.csv")):
        expected = "ok" if row.file.startswith("sub-7_ses-100") else "failed"
        assert (row.status, row.donor_id) == (expected, "mouse 7")
        assert row.specimen_id == ("100" if expected == "ok" else "101")
