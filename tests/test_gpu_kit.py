"""The kit for a GPU keeps what it has measured, ends each part at its limit, and goes on."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sts.base.errors import StsError
from tests.conftest import REPOSITORY

PART = """
import json, sys, time
done = json.load(sys.stdin)
for what in ("one", "two", "three"):
    if what in done:
        continue
    if what == sys.argv[1]:
        time.sleep(600)
    if what == sys.argv[2]:
        sys.exit(1)
    print(json.dumps({"what": what, "value": 1.0, "unit": "s"}), flush=True)
"""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import gpu

    return gpu


def measured(gpu: Any, done: list[str], results: dict[str, Any], hangs: str, fails: str) -> Any:
    command = [sys.executable, "-c", PART, hangs, fails]
    # An interpreter starts in a tenth of that, also on a busy machine.
    rows = gpu.measure_part(command, done, limit_s=5.0, results=results, name="networks")
    return [row["what"] for row in rows]


def test_a_part_that_hangs_ends_at_its_limit_and_keeps_its_rows(gpu: Any) -> None:
    results: dict[str, Any] = {"complete": [], "rows": []}
    begin = time.monotonic()
    assert measured(gpu, [], results, hangs="three", fails="") == ["one", "two"]
    assert time.monotonic() - begin < 60
    assert results["complete"] == []
    assert measured(gpu, ["one", "two"], results, hangs="", fails="") == ["three"]
    assert results["complete"] == ["networks"]


def test_a_part_that_fails_is_not_complete(gpu: Any, capsys: pytest.CaptureFixture[str]) -> None:
    results: dict[str, Any] = {"complete": [], "rows": []}
    assert measured(gpu, [], results, hangs="", fails="two") == ["one"]
    assert results["complete"] == []
    assert "networks: ended with status 1" in capsys.readouterr().out


def test_figures_of_another_machine_are_not_mixed_in(gpu: Any, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    out.write_text(json.dumps({"machine": {"device": "NVIDIA A"}, "complete": [], "rows": []}))
    with pytest.raises(StsError, match=r"measured on NVIDIA A, this is NVIDIA B"):
        gpu.read_results(out, {"device": "NVIDIA B"})
    assert gpu.read_results(out, {"device": "NVIDIA A"})["rows"] == []


def test_tests_that_failed_are_run_again(gpu: Any, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    rows = [{"part": "tests", "failed": ["one"]}, {"part": "networks", "what": "one"}]
    found = {"machine": {"device": "A"}, "complete": ["tests", "scalograms"], "rows": rows}
    out.write_text(json.dumps(found))
    again = gpu.read_results(out, {"device": "A"})
    assert again["complete"] == ["scalograms"]
    assert [row["part"] for row in again["rows"]] == ["networks"]


def test_every_part_is_there_in_order(gpu: Any) -> None:
    import gpu_parts

    assert tuple(gpu_parts.PARTS) == gpu.PART_NAMES
    assert set(gpu_parts.SIZES) == {"cpu", "cuda"}
