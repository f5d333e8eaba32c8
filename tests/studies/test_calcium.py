"""dg, train, generate, evaluate and deconvolve on a small world, as a user types them."""

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from pynwb import NWBHDF5IO

from sts.calcium.readers import read_calcium
from sts.cli.calcium import main
from sts.cli.run import Status
from sts.reports.publications.table import PUBLICATIONS
from sts.studies.calcium.evaluate import GENERATED, INDEPENDENT, PHASES, REAL_FLOOR

NAME = "small"
DG = ("--name", NAME, "--neurons", "4", "--frames", "8000", "--mean-rate", "3", "-q")
TRAIN = ("--name", NAME, "--length", "64", "--steps", "6", "--check-every", "3", "--batch", "4")
TRAIN += ("--critic-steps", "1", "--kernel", "4", "--units", "6", "6", "--critic-units", "6", "6")
TRAIN += ("--shuffle", "2", "--device", "cpu", "-q")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    for name in ("data", "source"):
        (root / name).mkdir()
    assert main(["dg", "--root", str(root), *DG]) == Status.DONE
    assert main(["train", "--root", str(root), *TRAIN]) == Status.DONE
    assert main(["evaluate", "--root", str(root), "--name", NAME, "-q"]) == Status.DONE
    return root


def run_of(root: Path, study: str) -> Path:
    (run,) = (root / "output" / study / NAME).glob("*")
    assert (run / "DONE").is_file()
    return run


def report_of(root: Path, study: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((run_of(root, study) / "report.json").read_text())
    return found


def test_the_ground_truth_holds_what_was_asked(world: Path) -> None:
    path = world / "data" / "calcium" / f"{NAME}.h5"
    recording = read_calcium(path)
    assert recording.traces.shape == (4, 8000)
    assert recording.rate_hz == 24.0
    assert recording.spikes is not None
    with h5py.File(path) as file:
        asked = file["rates_hz"][()]
    found = recording.spikes.mean(axis=1) * 24
    # about 1,000 spikes of a neuron: three standard errors, and rare ones
    assert found == pytest.approx(asked, rel=0.2)
    truth = report_of(world, "calcium-dg")["ground_truth"]
    assert isinstance(truth, dict)
    assert truth["neurons"] == 4


def test_statistics_are_measured_at_the_frame_rate_asked_for(world: Path, tmp_path: Path) -> None:
    path = world / "data" / "calcium" / f"{NAME}.h5"
    out = tmp_path / "measured.h5"
    words = ["dg", "--root", str(world), "--name", "measured", "--measure", str(path)]
    assert main([*words, "--rate", "12", "--out", str(out), "-q"]) == Status.DONE
    with h5py.File(path) as first, h5py.File(out) as second:
        assert second.attrs["rate_hz"] == 12.0
        # two spikes that fall into one longer frame count once: at most 3 of 24 Hz
        assert second["rates_hz"][()] == pytest.approx(first["rates_hz"][()], rel=0.3)


def test_training_leaves_a_model_and_a_run(world: Path) -> None:
    folder = world / "models" / "CalciumGAN" / NAME
    card = json.loads((folder / "model.json").read_text())
    assert card["best_step"] in (3, 6)
    run = run_of(world, "calcium")
    for name in ("settings.json", "report.html", "metrics.jsonl", "figures/samples.png"):
        assert (run / name).stat().st_size > 0, name
    assert not (run / "training.safetensors").exists()
    assert card == report_of(world, "calcium")["model"]


def test_the_test_stretch_plays_no_part_in_training(world: Path, tmp_path: Path) -> None:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    assert main(["dg", "--root", str(tmp_path), *DG]) == Status.DONE
    with h5py.File(tmp_path / "data" / "calcium" / f"{NAME}.h5", "r+") as file:
        file["traces"][:, -1000:] = 5 * np.random.default_rng(0).standard_normal((4, 1000))
    assert main(["train", "--root", str(tmp_path), *TRAIN]) == Status.DONE
    folder = Path("models", "CalciumGAN", NAME)
    cards = [json.loads((root / folder / "model.json").read_text()) for root in (tmp_path, world)]
    # its seconds of training draw from windows alone, whose order the digest of all does not move
    assert cards[0]["score"] == cards[1]["score"]
    weights = folder / "model.safetensors"
    assert (tmp_path / weights).read_bytes() == (world / weights).read_bytes()
    assert cards[0]["data"]["fingerprint"] != cards[1]["data"]["fingerprint"]


def test_what_goes_beyond_the_published_model_is_asked_for(world: Path) -> None:
    words = ["train", "--root", str(world), *TRAIN, "--ending", "spikes", "--frame-noise"]
    words += ["--upsampling", "nearest", "--differences", "--moments", "2", "--cooling", "0.5"]
    words += ["--critic-rate", "0.001", "--name", "beyond"]
    words += ["--recording", str(world / "data" / "calcium" / f"{NAME}.h5")]
    assert main(words) == Status.DONE
    models = world / "models" / "CalciumGAN"
    beyond, plain = (
        json.loads((models / name / "model.json").read_text()) for name in ("beyond", NAME)
    )
    asked = {"ending": "spikes", "frame_noise": True, "upsampling": "nearest", "differences": True}
    published = {
        "ending": "sigmoid",
        "frame_noise": False,
        "upsampling": "transposed",
        "differences": False,
    }
    assert asked.items() <= beyond["networks"].items()
    assert published.items() <= plain["networks"].items()
    told = {"moments": 2.0, "cooling": 0.5, "critic_rate": 0.001}
    assert told.items() <= beyond["settings"].items()
    assert {"moments": 0.0, "cooling": 0.0}.items() <= plain["settings"].items()


def test_evaluation_stands_beside_floor_and_controls(world: Path) -> None:
    report = report_of(world, "calcium-evaluate")
    likeness = report["likeness"]
    assert isinstance(likeness, dict)
    assert list(likeness) == [GENERATED, REAL_FLOOR, PHASES, INDEPENDENT]
    assert set(report["truth"]) == {"real, deconvolved", *likeness}  # type: ignore[call-overload]
    run = run_of(world, "calcium-evaluate")
    for name in ("traces", "histograms", "curves", "correlations", "van-rossum"):
        assert (run / "figures" / f"{name}.png").is_file()
    for figure in ("calcium-2", "calcium-3", "calcium-4", "calcium-5", "calcium-6"):
        assert all((run / name).is_file() for name in PUBLICATIONS[figure].files)
    page = (run / "report.html").read_text()
    for words in ("Does it help?", "Copying", "independent neurons", "phase-shuffled"):
        assert words in page
    assert "the test stretch of" in (run / "log.txt").read_text()


def test_generated_traces_are_written_for_others(world: Path, tmp_path: Path) -> None:
    words = ["generate", "--root", str(world), "--name", NAME, "--windows", "3", "-q"]
    assert main([*words, "--out", str(tmp_path)]) == Status.DONE
    array = np.load(tmp_path / f"{NAME}-seed0-windows3.npz")
    assert array["traces"].shape == (3, 4, 64)
    assert float(array["rate_hz"]) == 24.0
    with NWBHDF5IO(str(tmp_path / f"{NAME}-seed0-windows3.nwb"), "r") as file:
        series = file.read().processing["ophys"]["Fluorescence"].roi_response_series
        first = series["window_00000"]
        assert np.array_equal(first.data[()].T, array["traces"][0])
        assert first.rate == 24.0
    again = read_calcium(tmp_path / f"{NAME}-seed0-windows3.npz")
    assert again.traces.shape == (4, 3 * 64)


def test_deconvolution_tells_how_well_it_finds_the_truth(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = world / "data" / "calcium" / f"{NAME}.h5"
    words = ["deconvolve", "--root", str(world), "--recording", str(path), "-q"]
    assert main([*words, "--out", str(tmp_path / "spikes.npz")]) == Status.DONE
    assert np.load(tmp_path / "spikes.npz")["spikes"].shape == (4, 8000)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:5]]
    # noise is a third of a spike: most are found
    assert all(float(row[-1]) > 0.7 for row in rows)


def test_only_a_population_that_is_written_replaces_another(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dg", "--root", str(world), "--name", NAME, "--statistics", "nowhere.json"]
    assert main(words) == Status.USER
    assert "replaced" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--recording", "nowhere.h5"], "no file or folder"),
        (["train", "--name", NAME, "--length", "4000"], "frames are too few"),
        (["train", "--name", NAME, "--length", "64", "--smallest", "99"], "fewer than two neurons"),
        (["evaluate", "--name", "nobody"], "unknown generator in"),
        (["deconvolve"], "no recording given"),
        (["dg", "--statistics", "a.json", "--measure", "b.h5"], "either given or measured"),
        (["dg", "--statistics", "a.json", "--neurons", "5"], "--neurons is no setting of --stat"),
        (["dg", "--measure", "b.h5", "--correlation", "0.1"], "--correlation is no setting of --m"),
    ],
)
def test_what_the_user_must_change_is_told_in_one_line(
    world: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--root", str(world), "-q"]) == Status.USER
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1
