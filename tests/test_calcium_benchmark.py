"""The comparison of models of populations: differences in units of the floor, and costs."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.files import write_json
from sts.calcium.compare import POPULATION_QUANTITIES
from tests.calcium.test_population_models import make_population
from tests.conftest import REPOSITORY


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module("calcium_populations")


def make_rows(benchmark: ModuleType, model: str, times: float) -> dict[str, dict[str, float]]:
    """Return a model's differences, which are so many times those of its floor."""
    floor = {name: 0.1 + number for number, name in enumerate(POPULATION_QUANTITIES)}
    end = benchmark.FOUND if model in benchmark.GANS else ""
    made = {name: times * value for name, value in floor.items()}
    return {model: made, f"{benchmark.POPULATION_FLOOR}{end}": floor}


@pytest.mark.parametrize("model", ["gan", "ldns"])
def test_differences_are_in_units_of_the_floor_of_the_same_spikes(
    benchmark: ModuleType, model: str
) -> None:
    rows = make_rows(benchmark, model, 3.0)
    assert benchmark.measure_times_floor(rows, model) == pytest.approx(3.0)


def test_a_cost_goes_from_the_least_to_the_most_of_the_runs_with_as_many_steps(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(session: str, neurons: int, seconds: float, **peak: float) -> dict[str, Any]:
        rows = make_rows(benchmark, "gan", 2.0)
        likeness = {"gan": {"score": seconds}, benchmark.REAL_FLOOR: {"score": 0.5}}
        named = {"model": "gan", "session": session, "neurons": neurons}
        return {**named, "rows": rows, "likeness": likeness, "fit_processor_s": seconds, **peak}

    peak = {"peak_mb": 300.0, "peak_mb_before": 200.0}
    done = {
        "mouse.mat:1.1 gan 0 100": judge("mouse 1.1", 90, 2.0),
        "mouse.mat:1.2 gan 0 100": judge("mouse 1.2", 96, 4.0, **peak),
        "fish-3.h5 gan 0 600": judge("fish-3", 96, 9.0),
    }
    benchmark.print_costs(done)
    lines = capsys.readouterr().out.splitlines()
    assert "| gan | mouse | 90 to 96 | 100 | 2 | 2.0 to 4.0 | 33 | 100 | 3.00 / 0.50 | 2 |" in lines
    assert "| gan | fish | 96 | 600 | 1 | 9.0 | 67 |  | 9.00 / 0.50 | 2 |" in lines


def test_costs_are_read_from_all_files_of_results(benchmark: ModuleType, tmp_path: Path) -> None:
    for number, model in enumerate(("gan", "ldns", "no-moments")):
        judged = {f"mouse {model} 0 100": {"model": model}}
        write_json(tmp_path / f"calcium_{number}.json", {"judged": judged})
    write_json(tmp_path / "calcium.json", {"machine": "another kind of result"})
    assert set(benchmark.read_judged(tmp_path, ["gan", "ldns"])) == {
        "mouse gan 0 100",
        "mouse ldns 0 100",
    }


@pytest.mark.parametrize("unknown", [np.nan, None])
def test_a_quantity_that_could_not_be_measured_is_left_out(
    benchmark: ModuleType, unknown: Any
) -> None:
    rows = make_rows(benchmark, "ldns", 2.0)
    rows["ldns"]["interval_means"] = unknown
    assert benchmark.measure_times_floor(rows, "ldns") == pytest.approx(2.0)


def test_a_file_has_one_size_of_a_model(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []

    def judge(source: object, model: str, given: dict[str, Any]) -> dict[str, Any]:
        judged.append(given)
        rows = make_rows(benchmark, "ldns", 2.0)
        rows[benchmark.GAUSSIAN] = rows["ldns"]
        about = {"model": model, "session": "mouse", "neurons": 4, "seed": 0, "likeness": {}}
        return {**about, "rows": rows, "fit_processor_s": 1.0, "peak_mb": 2.0, "peak_mb_before": 1}

    monkeypatch.setattr(benchmark, "judge_alone", judge)
    words = ["x", "mouse.mat", "--models", "ldns", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*words, "--latents", "16"])
    for _ in range(2):
        benchmark.main()
    assert len(judged) == 1
    monkeypatch.setattr("sys.argv", [*words, "--channels", "16"])
    with pytest.raises(StsError, match="other sizes"):
        benchmark.main()


def test_a_decoder_of_other_seconds_is_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    decoder = importlib.import_module("calcium_decoder")
    asked = []

    def decode(session: str, model: str, seconds: list[int], given: object) -> dict[str, Any]:
        asked.append(seconds)
        rows = [{"seconds": each, "alone": 0.5, "both": 0.5} for each in seconds]
        return {"session": session, "model": model, "rows": rows}

    monkeypatch.setattr(decoder, "decode_session", decode)
    for seconds in (["7"], ["7"], ["7", "14"]):
        words = ["x", "mouse.mat", "--seeds", "1", "--out", str(tmp_path), "--seconds", *seconds]
        monkeypatch.setattr("sys.argv", words)
        decoder.main()
    assert asked == [[7], [7, 14]]


def test_a_decoder_needs_two_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    decoder = importlib.import_module("calcium_decoder")
    spikes = make_population(4000)
    traces = np.random.default_rng(0).standard_normal(spikes.shape)
    np.savez(tmp_path / "one.npz", traces=traces, spikes=spikes, rate_hz=20.0)
    with pytest.raises(StsError, match="has 1 directions with at least"):
        decoder.decode_session(str(tmp_path / "one.npz"), "history", [7], {"seed": 0, "steps": 2})
