"""data_pipeline.py as a user meets it: commands in, files and lines out."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sts.cli.data import main
from sts.cli.run import Status
from sts.datasets.store import load_store
from sts.datasets.table import read_features
from tests.conftest import REPOSITORY
from tests.studies.cells import write_cell

SCRIPT = REPOSITORY / "source" / "data_pipeline.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    return tmp_path


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_an_unknown_command_is_an_error_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["biuld"])
    assert ended.value.code == Status.USER
    assert "'biuld'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the smallest world there is: eight simulated cells in a workspace of their own."""
    root = tmp_path_factory.mktemp("world")
    for name in ("data", "source"):
        (root / name).mkdir()
    place = ["--root", str(root), "-q"]
    assert main(["simulate", *place, "--cells", "8", "--workers", "1"]) == Status.DONE
    folder = root / "data" / "simulated" / "recordings"
    arguments = [str(folder), "--out", str(folder.parent), "--features", "--workers", "1"]
    assert main(["build", *place, *arguments]) == Status.DONE
    return root


def test_simulated_cells_come_through_the_whole_path(demo: Path) -> None:
    store = load_store(demo / "data" / "simulated" / "sweeps.h5")
    assert len(store) == 8
    assert set(store.label) == {"Pvalb", "Excitatory", "Vip/Lamp5", "Sst"}
    assert set(store.dataset) <= {"PatchClamp", "PatchSeq"}
    onsets = {("PatchClamp", 1.02), ("PatchSeq", 0.6)}
    assert {(d, round(float(o), 6)) for d, o in zip(store.dataset, store.onset_s, strict=True)} <= (
        onsets
    )
    rows = read_features(demo / "data" / "simulated" / "features.csv")
    assert [row.status for row in rows] == ["ok"] * 8


def test_simulating_again_finds_everything_there(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["simulate", "--root", str(demo), "--cells", "8"]
    assert main(arguments) == Status.DONE
    assert "8 cells" in (first := lines_of(capsys)[0])
    assert "0 of them written now" in first
    assert main([*arguments, "--seed", "1"]) == Status.USER
    assert "another seed" in capsys.readouterr().err
    assert main(["simulate", "--root", str(demo), "--cells", "4"]) == Status.USER
    assert "8 simulated cells" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cell(root / "recordings", "101")
    out = root / "data" / "mine"
    arguments = ["--root", str(root), "--dry-run", "--out", str(out)]
    assert main(["build", str(root / "recordings"), *arguments]) == Status.DONE
    assert main(["simulate", "--cells", "5", *arguments]) == Status.DONE
    told = lines_of(capsys)
    assert "would read 1 of 1 recordings" in told[0]
    assert "would write 5 of 5 cells" in told[1]
    assert not out.exists()


def test_show_draws_one_cell_of_each_class(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--root", str(demo)]) == Status.DONE
    pictures = [Path(line) for line in lines_of(capsys)]
    assert len(pictures) == 2 * (1 + 4)
    for path in pictures:
        assert path.stat().st_size > 10_000
        if path.suffix == ".svg":
            ET.parse(path)
        else:
            assert path.read_bytes().startswith(b"\x89PNG")
    run = pictures[0].parents[1]
    assert (run / "DONE").is_file()
    facts = json.loads((run / "report.json").read_text())["cells"]
    assert [cell["label"] for cell in facts] == ["Pvalb", "Excitatory", "Vip/Lamp5", "Sst"]


def test_show_takes_a_specimen_or_a_recording(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    specimen = str(load_store(demo / "data" / "simulated" / "sweeps.h5").specimen_id[0])
    assert main(["show", specimen, "--root", str(demo)]) == Status.DONE
    (recording,) = demo.rglob(f"*ses-{specimen}_*.nwb")
    assert main(["show", str(recording), "--root", str(demo)]) == Status.DONE
    assert [Path(line).name for line in lines_of(capsys)] == [
        *(f"{specimen}.png", f"{specimen}.svg") * 2
    ]
    # Its file has another place, but the same cell: neither picture replaces the other.
    assert main(["show", specimen, str(recording), "--root", str(demo)]) == Status.DONE
    assert [Path(line).name for line in lines_of(capsys)] == [
        f"{name}.{kind}" for name in (specimen, f"{specimen}-2") for kind in ("png", "svg")
    ]
    assert main(["show", "nobody", "--root", str(demo)]) == Status.USER
    assert "no specimen 'nobody'" in capsys.readouterr().err


def test_failed_cells_are_listed_and_told_by_the_status(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "recordings"
    write_cell(folder, "101")
    (folder / "bad.nwb").write_text("no")
    arguments = ["build", str(folder), "--out", str(root / "data" / "mine"), "--root", str(root)]
    assert main([*arguments, "--workers", "1"]) == Status.PARTIAL
    told = capsys.readouterr()
    assert "store: 1 ok, 0 excluded, 1 failed" in told.out
    assert "failed: bad.nwb: " in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["build"], "no FOLDER of recordings given"),
        (["build", "recordings"], "no --out given"),
        (["build", "nowhere", "--out", "x"], "nowhere"),
        (["show"], "no sweeps.h5 in"),
        (["doctor", "--device", "cdua"], "cdua"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    arguments: list[str],
    line: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    assert main([*arguments, "--root", str(root)]) == Status.USER
    told = capsys.readouterr()
    assert line in told.err + told.out
    assert "Traceback" not in told.err


def test_the_doctor_finds_this_machine_sound(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--root", str(root), "--device", "cpu"]) == Status.DONE
    told = capsys.readouterr().out
    for name in ("python", "torch", "one scalogram", "cores to use"):
        assert f"\n{name}" in told


def test_scripts_run_from_any_folder(demo: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(SCRIPT), "show", "nobody", "--root", str(demo)]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == Status.USER
    assert ended.stderr.startswith("error: no specimen 'nobody'")
    assert list(tmp_path.iterdir()) == []
