"""train --model, generate and evaluate on a small population, as a user types them."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sts.base.types import Ints
from sts.calcium import latent_model
from sts.calcium.arrays import write_hdf5
from sts.calcium.compare import POPULATION_QUANTITIES
from sts.calcium.readers import read_calcium
from sts.calcium.recording import CalciumRecording
from sts.cli.calcium import main
from sts.cli.run import Status
from sts.studies.calcium.evaluate import GENERATED
from sts.studies.calcium.population import (
    GAUSSIAN,
    NO_RELATIONS,
    POPULATION_FLOOR,
    SHUFFLED_PHASES,
    PopulationJudgement,
    compare_with_gaussian,
)
from tests.calcium.test_population_models import make_population

SMALL = ("--length", "64", "--device", "cpu", "-q")
LDNS = ("--model", "ldns", "--latents", "2", "--channels", "4", "--steps", "4", "--batch", "2")


def write_world(root: Path, spikes: Ints) -> Path:
    """Write a recording with these spikes, (5, frames)."""
    (root / "data").mkdir(parents=True)
    recording = CalciumRecording(
        name="made",
        traces=np.random.default_rng(0).standard_normal(spikes.shape).astype(np.float32),
        rate_hz=20.0,
        neurons=tuple("abcde"),
        spikes=spikes,
    )
    write_hdf5(root / "data" / "made.h5", recording)
    return root


def train(root: Path, *words: str) -> int:
    recording = str(root / "data" / "made.h5")
    return main(["train", "--root", str(root), "--recording", recording, *SMALL, *words])


@pytest.fixture(scope="module", autouse=True)
def few_samples() -> Iterator[None]:
    """Match models to few samples, which is fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_model, "MATCHED_FRAMES", 500)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = write_world(tmp_path_factory.mktemp("population"), make_population(3000))
    assert train(root, *LDNS) == Status.DONE
    assert main(["evaluate", "--root", str(root), "--name", "made", "-q"]) == Status.DONE
    return root


def test_an_evaluation_has_the_floor_the_gaussian_and_the_controls(world: Path) -> None:
    (run,) = (world / "output" / "calcium-evaluate" / "made").glob("*")
    report = json.loads((run / "report.json").read_text())
    assert set(report["copying"]) == {GENERATED}
    rows = [GENERATED, POPULATION_FLOOR, GAUSSIAN, SHUFFLED_PHASES, NO_RELATIONS]
    assert list(report["population"]) == rows
    for row in report["population"].values():
        assert set(row) == set(POPULATION_QUANTITIES)
    assert (run / "figures" / "population.png").is_file()
    assert "than the dichotomised Gaussian in" in (run / "report.html").read_text()


def test_a_lorenz_system_is_simulated_and_learned(world: Path) -> None:
    words = ["dg", "--root", str(world), "--name", "lorenz", "--lorenz", "--neurons", "4"]
    assert main([*words, "--frames", "1500", "-q"]) == Status.DONE
    words = ["train", "--root", str(world), "--name", "lorenz", "--model", "history"]
    assert main([*words, "--length", "64", "-q"]) == Status.DONE
    # Its rates do not depend on the frame rate.
    words = ["dg", "--root", str(world), "--name", "slow", "--lorenz", "--rate", "3"]
    assert main([*words, "--frames", "100", "-q"]) == Status.DONE


@pytest.mark.parametrize(
    "words", [("--measure", "made.h5"), ("--clip",), ("--memory", "1"), ("--frames", "1")]
)
def test_a_lorenz_system_has_no_statistics_to_set(
    world: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dg", "--root", str(world), "--lorenz", *words, "-q"]) == Status.USER
    assert "a Lorenz system" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--mean-rate", "--correlation"])
def test_a_lorenz_system_refuses_flags_that_it_would_ignore(
    world: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dg", "--root", str(world), "--name", "lorenz", "--lorenz", "--frames", "100"]
    assert main([*words, flag, "0.4", "-q"]) == Status.USER
    assert capsys.readouterr().err == f"error: {flag} is no setting of --lorenz\n"


def test_generated_counts_are_read_as_a_recording(world: Path) -> None:
    words = ["generate", "--root", str(world), "--name", "made", "--windows", "3", "--seed", "5"]
    assert main([*words, "--kind", "npz", "-q"]) == Status.DONE
    path = world / "output" / "calcium-generated" / "made-seed5-windows3.npz"
    recording = read_calcium(path)
    assert recording.spikes is not None
    with np.load(path) as file:
        assert np.array_equal(recording.spikes, np.concatenate(file["spikes"], axis=1))


def test_a_neuron_without_spikes_is_generated_and_judged(tmp_path: Path) -> None:
    spikes = make_population(3000)
    spikes[2] = 0
    root = write_world(tmp_path / "silent", spikes)
    assert train(root, "--model", "gaussian") == Status.DONE
    assert main(["evaluate", "--root", str(root), "--name", "made", "-q"]) == Status.DONE


def test_generated_counts_have_any_length_and_no_file_replaces_another(
    world: Path, tmp_path: Path
) -> None:
    words = ["generate", "--root", str(world), "--name", "made", "--out", str(tmp_path)]
    for windows, length in (("2", "90"), ("2", "80"), ("3", "90")):
        given = ["--windows", windows, "--length", length, "--kind", "npz", "-q"]
        assert main([*words, *given]) == Status.DONE
    assert len(list(tmp_path.iterdir())) == 3
    with np.load(tmp_path / "made-seed0-windows2-length90.npz") as file:
        assert file["spikes"].shape == file["traces"].shape == (2, 5, 90)
        assert file["spikes"].dtype.kind == "i"


def test_another_recording_must_be_of_the_same_neurons(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = read_calcium(world / "data" / "made.h5")
    arrays = {"traces": made.traces, "spikes": made.spikes, "rate_hz": made.rate_hz}
    paths = {letters: tmp_path / f"{letters}.npz" for letters in ("abcde", "bacde", "01234")}
    for letters, path in paths.items():
        np.savez(path, **arrays, neurons=np.array(list(letters)))
    words = ["--model", "gaussian", "--name", "named", "--recording", str(paths["abcde"])]
    assert train(world, *words) == Status.DONE
    words = ["evaluate", "--root", str(world), "--name", "named", "-q", "--recording"]
    assert main([*words, str(paths["bacde"])]) == Status.USER
    told = capsys.readouterr().err
    assert f"neuron 1 of {paths['bacde']} is b, named was trained on a: give a recording" in told
    assert len(told.splitlines()) == 1
    # Numbers stand for names where a file has none.
    assert main([*words, str(paths["01234"])]) == Status.DONE


def test_the_test_stretch_plays_no_part_in_a_model(world: Path, tmp_path: Path) -> None:
    spikes = make_population(3000)
    spikes[:, -500:] = 1
    other = write_world(tmp_path / "other", spikes)
    assert train(other, *LDNS) == Status.DONE
    weights = Path("models", "CalciumGAN", "made", "model.safetensors")
    assert (other / weights).read_bytes() == (world / weights).read_bytes()


def test_flags_of_another_model_are_refused(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(world, "--model", "gaussian", "--kernel", "4") == Status.USER
    assert "--kernel is no setting of --model gaussian" in capsys.readouterr().err
    assert train(world, "--latents", "4") == Status.USER
    assert "--latents is no setting of --model gan" in capsys.readouterr().err
    for model, flag in (("gaussian", "--stretches"), ("history", "--steps")):
        assert train(world, "--model", model, flag, "2") == Status.USER
        assert f"{flag} is no setting of --model {model}" in capsys.readouterr().err


def test_a_stretch_that_is_not_known_is_refused(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "--root", str(world), "--name", "made", "--kind", "npz", "-q"]
    assert main([*words, "--stretch", "1"]) == Status.USER
    assert "made knows 0 stretches, not stretch 1" in capsys.readouterr().err
    assert train(world, *LDNS, "--name", "two", "--stretches", "2") == Status.USER
    assert "2 stretches are asked for, the recording has 1" in capsys.readouterr().err
    assert train(world, *LDNS, "--name", "one", "--stretches", "1") == Status.DONE
    words[4] = "one"
    assert main([*words, "--windows", "2", "--stretch", "1"]) == Status.DONE
    assert (world / "output" / "calcium-generated" / "one-seed0-windows2-stretch1.npz").is_file()


def test_a_generator_that_beats_nothing_is_said_to(world: Path) -> None:
    (run,) = (world / "output" / "calcium-evaluate" / "made").glob("*")
    found = json.loads((run / "report.json").read_text())["population"]
    found[GENERATED] = {name: [9.0] for name in POPULATION_QUANTITIES}
    judged = PopulationJudgement(differences=found, real=None, measures={}, windows=1, copying={})  # type: ignore[arg-type]
    assert compare_with_gaussian(judged, GENERATED).endswith("in nothing.")
    found[GENERATED]["counts"] = [0.0]
    told = compare_with_gaussian(judged, GENERATED)
    assert POPULATION_QUANTITIES["counts"] in told.split("Not closer")[0]
    found[GENERATED]["interval_means"] = [np.nan]
    told = compare_with_gaussian(judged, GENERATED)
    assert told.endswith(f"Too few spikes to compare: {POPULATION_QUANTITIES['interval_means']}.")
    assert told.count(POPULATION_QUANTITIES["interval_means"]) == 1
