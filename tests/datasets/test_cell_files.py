"""One protocol a file: declared as one cell, its files are read together."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import CellFailed, StsError
from sts.cli.data import main
from sts.datasets.build import BuildJob, build, plan_build
from sts.datasets.build_files import CELLS_NAME
from sts.datasets.cell_files import read_cell, stamp_cell
from sts.datasets.cell_results import BuildSettings
from sts.datasets.store import load_store
from sts.datasets.table import CellRow, FeatureRow, read_cells, read_features
from tests.recordings.abf_files import Abf, responses, write_abf2
from tests.studies.cells import AMPLITUDES_PA, write_cell

PRODUCTS = ("sweeps.h5", CELLS_NAME, "features.csv", "manifest.json")
FILES = ("a_first.nwb", "b_second.nwb")


def write_part(folder: Path, name: str, amplitudes_pa: tuple[float, ...]) -> Path:
    """Write some of a cell's steps into a file that states an id of no use."""
    path = write_cell(folder, name, amplitudes_pa=amplitudes_pa)
    with h5py.File(path, "r+") as file:
        file["general/session_id"][()] = "PLACEHOLDER"
    return path.rename(folder / name)


def write_table(folder: Path, *lines: str) -> Path:
    table = folder.parent / "which.csv"
    table.write_text("\n".join(["file,specimen_id,donor_id", *lines]) + "\n")
    return table


@pytest.fixture
def job(tmp_path: Path) -> BuildJob:
    """Return a build of one cell whose steps stand in two files."""
    folder = tmp_path / "recordings"
    for name, some in zip(FILES, (AMPLITUDES_PA[:3], AMPLITUDES_PA[3:]), strict=True):
        write_part(folder, name, some)
    return BuildJob(
        folder=folder,
        out=tmp_path / "mine",
        settings=BuildSettings(store=True, features=True),
        cells=write_table(folder, *(f"{name},cell 7,mouse 3" for name in FILES)),
        workers=1,
    )


def only_rows(job: BuildJob) -> tuple[CellRow, FeatureRow]:
    (cell,), (measured,) = (
        read_cells(job.out / CELLS_NAME),
        read_features(job.out / "features.csv"),
    )
    return cell, measured


def test_files_of_one_cell_give_what_one_file_gives(job: BuildJob, tmp_path: Path) -> None:
    build(job)
    whole = replace(job, folder=tmp_path / "whole", out=tmp_path / "other" / "mine", cells=None)
    write_cell(whole.folder, "cell 7")
    build(whole)
    (cell, measured), (one_cell, one_measured) = only_rows(job), only_rows(whole)
    np.testing.assert_equal(measured.values, one_measured.values)
    for name in ("specimen_id", "status", "rheobase_pa", "step_pa", "rheobase_sweep"):
        assert getattr(cell, name) == getattr(one_cell, name), name
    assert (cell.donor_id, measured.donor_id) == ("mouse 3", "mouse 3")
    assert cell.file == measured.file == " + ".join(FILES)
    assert cell.flags[0] == (
        "read together, sweeps numbered: a_first.nwb from 0, b_second.nwb from 3"
    )
    parted, at_once = (load_store(each.out / "sweeps.h5").traces for each in (job, whole))
    np.testing.assert_array_equal(parted, at_once)


def test_undeclared_they_are_two_cells_that_say_why(job: BuildJob) -> None:
    report = build(replace(job, cells=None))
    assert report.counts["store"] == {"ok": 1, "excluded": 1}
    names = [row.specimen_id for row in read_cells(job.out / CELLS_NAME)]
    assert names == ["a_first", "b_second"]


def test_the_order_is_that_of_the_table(job: BuildJob) -> None:
    table = write_table(job.folder, *(f"{name},cell 7,mouse 3" for name in reversed(FILES)))
    build(replace(job, cells=table))
    cell, _ = only_rows(job)
    assert cell.flags[0].endswith("b_second.nwb from 0, a_first.nwb from 4")
    assert cell.rheobase_sweep == 0


@pytest.mark.parametrize("way", ["{path}", "recordings/{name}", "./{name}"])
def test_files_are_named_in_any_way_that_is_clear(
    job: BuildJob, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(job.folder)
    lines = (f"{way.format(path=job.folder / name, name=name)},cell 7," for name in FILES)
    plan = plan_build(replace(job, cells=write_table(job.folder, *lines)))
    (cell,) = plan.cells.values()
    assert list(cell.paths) == list(FILES)


def test_declared_and_other_files_stand_side_by_side(job: BuildJob) -> None:
    write_cell(job.folder / "deep", "200")
    report = build(job)
    assert report.counts["store"] == {"ok": 2}
    store = load_store(job.out / "sweeps.h5")
    assert store.specimen_id.tolist() == ["cell 7", "200"]


def test_a_part_that_cannot_be_read_is_left_out_and_named(job: BuildJob) -> None:
    (job.folder / FILES[0]).write_bytes(b"nothing of use; really")
    build(job)
    cell, measured = only_rows(job)
    assert cell.status == measured.status == "ok"
    assert cell.flags[1] == (
        "left out a_first.nwb: is neither HDF5 nor another known format: "
        "NWB 2, NWB 1, ABF, WinWCP, AxoGraph are read"
    )


def test_a_file_that_is_there_twice_is_read_once(job: BuildJob) -> None:
    (job.folder / "c.nwb").write_bytes((job.folder / FILES[1]).read_bytes())
    lines = (f"{name},cell 7,mouse 3" for name in (*FILES, "c.nwb"))
    build(replace(job, cells=write_table(job.folder, *lines)))
    cell, _ = only_rows(job)
    assert cell.flags[1] == "left out c.nwb: the same as b_second.nwb"


def test_no_readable_file_is_one_failed_row_under_the_declared_name(job: BuildJob) -> None:
    for name in FILES:
        (job.folder / name).write_bytes(b"nothing of use")
    write_cell(job.folder, "200")
    assert build(job).failed
    row = read_cells(job.out / CELLS_NAME)[0]
    assert (row.specimen_id, row.donor_id, row.status) == ("cell 7", "mouse 3", "failed")
    assert row.reason.startswith("none of its 2 files can be read: a_first.nwb is neither HDF5")


def test_files_of_several_donors_need_a_declared_one(job: BuildJob) -> None:
    for number, name in enumerate(FILES):
        with h5py.File(job.folder / name, "r+") as file:
            file["general/subject/subject_id"][()] = f"mouse {number}"
    write_cell(job.folder, "200")
    build(replace(job, cells=write_table(job.folder, *(f"{name},cell 7," for name in FILES))))
    row = read_cells(job.out / CELLS_NAME)[0]
    assert row.reason.startswith("its files name 2 donors, mouse 0 and mouse 1: declare")
    table = write_table(job.folder, *(f"{name},cell 7,mouse 1" for name in FILES))
    build(replace(job, cells=table, force=True))
    assert read_cells(job.out / CELLS_NAME)[0].status == "ok"


def test_a_cell_is_read_with_copies_and_broken_parts_left_out(job: BuildJob) -> None:
    (cell,) = plan_build(job).cells.values()
    whole = read_cell(cell, stamp_cell(cell))
    assert whole.notes[-1].startswith("read together")
    first, second = cell.paths.values()
    second.write_bytes(first.read_bytes())
    half = read_cell(cell, stamp_cell(cell))
    assert 0 < len(half.sweeps) < len(whole.sweeps)
    assert half.notes[-1] == "left out b_second.nwb: the same as a_first.nwb"
    second.write_bytes(b"no recording")
    stamps = stamp_cell(cell)
    torn = read_cell(cell, stamps)
    assert [sweep.number for sweep in torn.sweeps] == [sweep.number for sweep in half.sweeps]
    assert torn.notes[-1].startswith("left out b_second.nwb: ")
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(CellFailed, match=r"none of its 2 files can be read: a_first\.nwb"):
        read_cell(cell, stamps)
    first.unlink()
    assert stamp_cell(cell)[0].size < 0
    alone = replace(cell, paths={"b_second.nwb": second})
    with pytest.raises(CellFailed):
        read_cell(alone, stamps[1:])


def test_a_changed_part_is_read_again_and_no_other_cell(job: BuildJob) -> None:
    write_cell(job.folder, "200")
    build(job)
    assert build(job).worked_on == 0
    write_part(job.folder, FILES[0], (-90, *AMPLITUDES_PA[:3]))
    report = build(replace(job, resume=True))
    assert report.worked_on == 1
    fresh = replace(job, out=job.out.with_name("fresh") / "mine")
    build(fresh)
    for name in PRODUCTS:
        assert (job.out / name).read_bytes() == (fresh.out / name).read_bytes(), name


def test_another_name_needs_no_reading(job: BuildJob) -> None:
    build(job)
    table = write_table(job.folder, *(f"{name},cell 8,mouse 4" for name in FILES))
    report = build(replace(job, cells=table))
    assert report.worked_on == 0
    store = load_store(job.out / "sweeps.h5")
    assert (store.specimen_id.tolist(), store.donor_id.tolist()) == (["cell 8"], ["mouse 4"])


WRONG = {
    "a_first.nwb,cell 7,\na_first.nwb,cell 8,": "line 3: a_first.nwb is declared in line 2 already",
    "a_frst.nwb,cell 7,": "no recording 'a_frst.nwb' in the folder; did you mean 'a_first.nwb'?",
    "a_first.nwb,,": "'' is no specimen_id",
    "a_first.nwb,PLACEHOLDER,": "'PLACEHOLDER' is no specimen_id",
    f"a_first.nwb,{'x' * 201},": "is no specimen_id; 1 to 200 characters",
    "a_first.nwb,\x1b[2J7,": "none of them a control character",
    "a\x00\x1b[2J.nwb,7,": "line 2: a NUL character",
    "a\x1b[2J.nwb,7,": r"no recording 'a\\x1b[2J.nwb'",
    "a_first.nwb,7,m1\nb_second.nwb,7,m2": "has donor m1 in a line before, here m2",
    "": "no cell in",
}


@pytest.mark.parametrize("lines", WRONG)
def test_a_table_that_cannot_be_meant_is_one_line(job: BuildJob, lines: str) -> None:
    with pytest.raises(StsError) as error:
        plan_build(replace(job, cells=write_table(job.folder, lines)))
    assert WRONG[lines] in str(error.value)
    assert "\x1b" not in str(error.value)


def test_the_command_takes_the_table(job: BuildJob, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(job.folder), "--out", str(job.out), "--cells", str(job.cells)]
    assert main(["build", *arguments, "--workers", "1", "--dry-run"]) == 0
    assert "would read 1 of 1 recordings" in capsys.readouterr().out
    assert main(["features", *arguments, "--workers", "1"]) == 0
    (row,) = read_features(job.out / "features.csv")
    assert row.specimen_id == "cell 7"


def test_files_of_a_laboratory_that_hold_no_id_are_joined(job: BuildJob) -> None:
    """ABF files know no specimen; their sweeps begin at 0 in each of them."""
    for name in FILES:
        (job.folder / name).unlink()
    for name in ("0001.abf", "0002.abf"):
        write_abf2(job.folder / name, Abf(channels={"mV": responses(3)}))
    table = write_table(job.folder, "0001.abf,7,m", "0002.abf,7,m")
    with pytest.raises(StsError, match="none of 1 recordings"):
        build(replace(job, cells=table))
    cell, _ = only_rows(job)
    assert (cell.specimen_id, cell.flags[1]) == ("7", "left out 0002.abf: the same as 0001.abf")


@pytest.mark.data
def test_a_real_cell_in_two_files_gives_the_features_of_one(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "recordings" / "osb_FergusonEtAl2015_PYR2.nwb"
    folder = tmp_path / "parts"
    folder.mkdir()
    for part, name in enumerate(FILES):
        path = folder / name
        path.write_bytes(source.read_bytes())
        with h5py.File(path, "r+") as file:
            sweeps = list(file["acquisition"])
            for sweep in sweeps[: len(sweeps) // 2] if part else sweeps[len(sweeps) // 2 :]:
                del file[f"acquisition/{sweep}"]
    settings = BuildSettings(store=False, features=True)
    table = write_table(folder, *(f"{name},PYR2," for name in FILES))
    job = BuildJob(folder=folder, out=tmp_path / "parted", settings=settings, workers=1)
    build(replace(job, cells=table))
    build(replace(job, folder=source, out=tmp_path / "whole"))
    (parted,) = read_features(tmp_path / "parted" / "features.csv")
    (whole,) = read_features(tmp_path / "whole" / "features.csv")
    assert parted.specimen_id == "PYR2"
    np.testing.assert_equal(parted.values, whole.values)
