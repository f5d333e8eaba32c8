"""The comparison of models of populations: differences in units of the floor, and costs."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sts.calcium.compare import POPULATION_QUANTITIES
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


def test_a_cost_is_the_mean_over_the_runs_with_as_many_steps(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(seconds: float) -> dict[str, Any]:
        rows = make_rows(benchmark, "ldns", 2.0)
        took = {"fit_processor_s": seconds, "peak_mb": 300.0, "peak_mb_before": 200.0}
        return {"model": "ldns", "rows": rows, **took}

    done = {"a ldns 0 100": judge(2.0), "a ldns 1 100": judge(4.0), "a ldns 0 600": judge(9.0)}
    benchmark.print_costs(done)
    lines = capsys.readouterr().out.splitlines()
    assert "| ldns | 100 | 2 | 3 | 300 | 100 | 2 |" in lines
    assert "| ldns | 600 | 1 | 9 | 300 | 100 | 2 |" in lines


@pytest.mark.parametrize("unknown", [np.nan, None])
def test_a_quantity_that_could_not_be_measured_is_left_out(
    benchmark: ModuleType, unknown: Any
) -> None:
    rows = make_rows(benchmark, "ldns", 2.0)
    rows["ldns"]["interval_means"] = unknown
    assert benchmark.measure_times_floor(rows, "ldns") == pytest.approx(2.0)
