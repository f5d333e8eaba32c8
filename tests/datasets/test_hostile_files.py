"""What lies in a folder of recordings and is none, and names and ids made to do harm."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.sandbox import Limits, reuse_sandbox
from sts.cli.data import main
from sts.datasets import cell_files, cell_results
from sts.datasets.build import BuildJob, build
from sts.datasets.build_files import CELLS_NAME
from sts.datasets.cell_results import BuildSettings
from sts.datasets.store import load_store
from sts.datasets.table import read_cells, read_features
from tests.datasets.builds import process_file_in_sandbox
from tests.studies.cells import write_cell


@pytest.fixture
def job(tmp_path: Path) -> BuildJob:
    folder = tmp_path / "recordings"
    write_cell(folder, "101")
    settings = BuildSettings(store=True, features=True)
    return BuildJob(folder=folder, out=tmp_path / "mine", settings=settings, workers=1)


def make_socket(path: Path) -> None:
    # The path of a socket may have 107 characters only.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def make_link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_suffix(".other"))
    path.symlink_to(path.with_suffix(".other"))


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo": (os.mkfifo, "is a FIFO: it is not opened, a regular file is needed"),
    "linked fifo": (make_link_to_fifo, "is a FIFO: it is not opened"),
    "socket": (make_socket, "is a socket: it is not opened"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device: it is not opened"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "cannot be opened: no such file"),
    "circle": (lambda path: path.symlink_to(path.name), "cannot be opened: too many levels"),
    "unreadable": (lambda path: path.write_bytes(b""), "is empty: copy or download it again"),
}


def test_what_is_no_file_is_a_row_and_nothing_waits_for_it(job: BuildJob) -> None:
    for name, (make, _) in SPECIAL.items():
        make(job.folder / f"{name}.nwb")
    begin = time.monotonic()
    report = build(replace(job, limits=Limits(wall_s=60)))
    assert time.monotonic() - begin < 60, "none of them was waited for"
    rows = {Path(row.file).stem: row for row in read_cells(job.out / CELLS_NAME)}
    for name, (_, reason) in SPECIAL.items():
        assert rows[name].status == "failed"
        assert rows[name].reason.startswith(reason), rows[name].reason
    assert report.counts["store"] == {"ok": 1, "failed": len(SPECIAL)}
    assert build(job).worked_on == 0


@pytest.mark.parametrize("name", ["fifo", "device", "socket"])
def test_one_that_is_named_itself_is_refused_by_every_command(
    job: BuildJob, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = job.folder.parent / "special.nwb"
    SPECIAL[name][0](path)
    root = str(job.folder.parent)
    for arguments in (
        ["show", str(path), "--root", root],
        ["build", str(path), "--out", str(job.out), "--root", root, "--workers", "1"],
        ["build", str(job.folder), "--out", str(job.out), "--labels", str(path), "--root", root],
        ["build", str(job.folder), "--out", str(job.out), "--cells", str(path), "--root", root],
    ):
        assert main(arguments) == 2, arguments
        told = capsys.readouterr().err
        assert SPECIAL[name][1].split(":")[0] in told.replace("it is a ", "is a "), told
        assert len([line for line in told.splitlines() if line.startswith("error")]) == 1


def test_a_file_that_nobody_can_read_is_not_opened_by_the_parent(
    job: BuildJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("opened in the process of the command")

    for name in ("sha256_of", "read_recording", "read_identity"):
        monkeypatch.setattr(cell_files, name, refuse)
    monkeypatch.setattr(Path, "open", refuse)
    (path,) = job.folder.iterdir()
    outcome = process_file_in_sandbox(
        path, file="x", settings=job.settings, limits=Limits(wall_s=60)
    )
    assert outcome.store is not None
    assert outcome.store.status == "ok"


def test_a_limit_of_three_seconds_ends_within_five(
    job: BuildJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is the digest that does not come: a file system that is gone."""
    monkeypatch.setattr(cell_results, "WORK", "tests.studies.bad_work:wait")
    (path,) = job.folder.iterdir()
    limits = Limits(wall_s=3)
    reuse_sandbox(cell_results.WORK, limits).start()
    begin = time.monotonic()
    outcome = process_file_in_sandbox(path, file="x", settings=job.settings, limits=limits)
    assert 3 <= time.monotonic() - begin < 5
    assert outcome.store is not None
    assert outcome.store.reason.startswith("took more than 3 s to read")
    reuse_sandbox(cell_results.WORK, limits).close()


NAMES = {
    b"a\x1b[2J\x07.nwb": r"a\x1b[2J\x07.nwb",
    b"new\nline.nwb": r"new\nline.nwb",
    b"not \xff utf8.nwb": r"not \udcff utf8.nwb",
    "gpj\u202ebwn.nwb".encode(): r"gpj\u202ebwn.nwb",
    b"=cmd.nwb": "=cmd.nwb",
}


def test_names_of_files_are_spelt_out_everywhere(
    job: BuildJob, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(job.folder) + b"/" + name)).write_bytes(b"nothing of use")
    arguments = ["build", str(job.folder), "--out", str(job.out), "--workers", "1"]
    for _ in range(2):
        assert main([*arguments, "--root", str(job.folder.parent)]) == 3
        told = "".join(capfd.readouterr())
        for name in NAMES.values():
            assert f"failed: {name}: is neither HDF5 nor another known format" in told
        assert all(letter.isprintable() or letter == "\n" for letter in told)
    assert "everything was there already" in told
    rows = read_cells(job.out / CELLS_NAME)
    assert {row.file for row in rows if row.status == "failed"} == {*NAMES.values()}


IDS = {
    "x" * 201: "101",
    "7\x1b[2J\x07": "7[2J",
    "a\u202eb": "ab",
    "\x00\x01": "101",
}


@pytest.mark.parametrize("specimen", IDS)
def test_ids_in_files_do_no_harm(
    job: BuildJob, specimen: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The name of the file says 101 and donor 7, as the DANDI archive does."""
    (path,) = job.folder.iterdir()
    with h5py.File(path, "r+") as file:
        for place in ("general/session_id", "general/subject/subject_id"):
            del file[place]
            file.create_dataset(place, data=np.array(specimen.encode(), "S300"))
    build(job)
    store = load_store(job.out / "sweeps.h5")
    assert store.specimen_id.tolist() == [IDS[specimen]]
    assert store.donor_id.tolist() == [{"101": "7"}.get(IDS[specimen], IDS[specimen])]
    (row,) = read_features(job.out / "features.csv")
    assert row.specimen_id == IDS[specimen]
    root = job.folder.parent
    assert main(["show", IDS[specimen], "--data", str(job.out), "--root", str(root)]) == 0
    assert main(["show", str(path), "--root", str(root)]) == 0
    told = "".join(capfd.readouterr())
    assert all(letter.isprintable() or letter == "\n" for letter in told)


def test_the_longest_names_of_files_are_shown(
    job: BuildJob, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name may have 255 bytes; a figure's has some more letters than its cell's."""
    (path,) = job.folder.iterdir()
    with h5py.File(path, "r+") as file:
        del file["general/session_id"]
    long = path.rename(path.with_name("y" * 251 + ".nwb"))
    others = [long.with_name(letter * 251 + ".nwb") for letter in "zw"]
    for other in others:
        other.write_bytes(long.read_bytes())
    root = str(job.folder.parent)
    assert main(["show", *map(str, (long, *others)), "--root", root]) == 0, capsys.readouterr().err
    build(job)
    names = [row.specimen_id for row in read_cells(job.out / CELLS_NAME)]
    assert len(set(names)) == 3
    assert all(len(name) == 200 for name in names), "no table takes a longer one"
    assert len(read_features(job.out / "features.csv")) == 3
    assert main(["show", names[2], "--data", str(job.out), "--root", root]) == 0


def test_a_disk_that_is_full_while_a_product_is_written_is_one_line(job: BuildJob) -> None:
    """Somewhere among these sizes the partial build fits and a product does not."""
    # A soft limit can be raised again, so that one process tries all.
    command = (
        "import resource, sys; from sts.cli.data import main\n"
        "for limit in (36_000, 42_500, 44_600):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    print(limit, main([*sys.argv[1:], '--out', f'out-{limit}']))"
    )
    arguments = ["build", str(job.folder), "--features", "--workers", "1", "-q"]
    ended = subprocess.run(
        # -B: Python would cut off its own files of compiled modules, and keep them.
        [sys.executable, "-B", "-c", command, *arguments, "--root", str(job.folder.parent)],
        cwd=job.folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    found = dict(line.rsplit(" ", 1) for line in ended.stdout.splitlines()[-3:])
    failed = [limit for limit, status in found.items() if status != "0"]
    assert set(found.values()) <= {"0", "2"}, ended.stderr
    assert failed
    errors = ended.stderr.splitlines()
    assert len(errors) == len(failed)
    assert all(line.startswith("error: cannot ") for line in errors), errors
    for limit in found:
        out = job.folder.parent / f"out-{limit}"
        if limit in failed:
            assert not list(out.glob(".*.partial.*")), "no half of a file stays"
            build(replace(job, out=out))
        assert len(load_store(out / "sweeps.h5")) == 1
