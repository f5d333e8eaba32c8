"""What fails costs its own cells, is told with its reason, and ends the command with status 3."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.augment import evaluate as evaluating
from sts.base.errors import StsError
from sts.base.workspace import Workspace
from sts.cli.augment import main
from sts.studies.augment import benchmark as benchmarking
from sts.studies.augment import work as working
from sts.studies.augment.benchmark import benchmark
from sts.tabular.classifiers import BenchmarkClassifier
from tests.studies.augment.worlds import job_of, made_workspace


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, which takes longer than all cells together."""
    monkeypatch.setattr(benchmarking, "write_results", lambda run, results: None)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return made_workspace(tmp_path)


def test_failed_items_are_told_and_the_rest_is_reported(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = working.evaluate

    def fails(item: Any, **named: Any) -> Any:
        if item.method == "smote" and item.division.fold == 1:
            raise StsError("no rows to make others from")
        return evaluate(item, **named)

    monkeypatch.setattr(working, "evaluate", fails)
    results = benchmark(place, job_of(), data=place.data, workers=1)
    assert results.failed == {"smote, repeat 0, fold 1": "no rows to make others from"}
    assert {row["fold"] for row in results.rows if row["method"] == "smote"} == {0, 2}
    assert "no rows to make" in (results.folder / "report.html").read_text(encoding="utf-8")


def failing(when: Callable[[Any], bool]) -> Any:
    """Return a way to fit classifiers of which one raises what nobody expects."""
    fitted = BenchmarkClassifier.fit

    def fit(classifier: BenchmarkClassifier, X: Any, y: Any) -> Any:
        if when(classifier):
            raise RuntimeError("no memory\nwas left")
        return fitted(classifier, X, y)

    return fit


@pytest.mark.usefixtures("undrawn")
def test_a_classifier_that_raises_costs_its_own_cells(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("tree", "naive-bayes", "lda")
    job = job_of(classifiers=names, added=(10, 20), curves=False)
    whole = benchmark(Workspace(place.root / "whole"), job, data=place.data, workers=1)
    fit = failing(lambda choice: choice.name == "naive-bayes")
    with monkeypatch.context() as patched:
        patched.setattr(BenchmarkClassifier, "fit", fit)
        results = benchmark(place, job, data=place.data, workers=1)
    assert set(results.failed.values()) == {"RuntimeError: no memory"}
    # Three folds, the baseline and two levels of SMOTE.
    assert len(results.failed) == 3 * 3
    assert "smote, repeat 0, fold 1, 20 added, naive-bayes" in results.failed
    kept = [row["macro_f1"] for row in whole.rows if row["classifier"] != "naive-bayes"]
    assert [row["macro_f1"] for row in results.rows] == kept
    # What was missing is all that is done when it works again.
    again = benchmark(place, job, data=place.data, workers=1)
    assert again.failed == {}
    assert [row["macro_f1"] for row in again.rows] == [row["macro_f1"] for row in whole.rows]


def test_the_command_ends_with_status_3_and_the_reasons(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = failing(lambda choice: choice.name == "naive-bayes")
    monkeypatch.setattr(BenchmarkClassifier, "fit", fit)
    arguments = ["--root", str(place.root), "-q", "--workers", "1", "--no-curves", "--folds", "3"]
    arguments += ["--repeats", "1", "--added", "20", "--classifiers", "naive-bayes", "lda"]
    assert main([*arguments, "--no-fidelity"]) == 3
    said = capsys.readouterr()
    assert "failed: smote, repeat 0, fold 0, 20 added, naive-bayes: RuntimeError" in said.err
    assert "LDA" in said.out
    (page,) = place.output.glob("augment/e-*/*/report.html")
    assert "no memory" in page.read_text(encoding="utf-8")


class Broken:
    """A generator that cannot be fitted."""

    fits = 0
    notes = ()

    def fit(self, X: Any, y: Any, rng: np.random.Generator) -> Any:
        type(self).fits += 1
        raise FloatingPointError("held-out scores were never finite")


@pytest.mark.usefixtures("undrawn")
def test_a_generator_that_fails_is_given_up_and_told_once_a_fold(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "make_generator", lambda *_, **__: Broken())
    job = job_of(classifiers=("lda", "tree", "naive-bayes"), added=(10, 20), fidelity=True)
    results = benchmark(place, job, data=place.data, workers=1)
    reason = "FloatingPointError: held-out scores were never finite"
    assert results.failed == {f"smote, repeat 0, fold {fold}": reason for fold in range(3)}
    assert {row["method"] for row in results.rows} == {"none"}
    # Of six cells a fold, three were tried.
    assert Broken.fits == 9


@pytest.mark.usefixtures("undrawn")
def test_figures_that_fail_cost_no_cell(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(bench: Any) -> list[Any]:
        raise ValueError("nothing to compare")

    monkeypatch.setattr(working, "measure_fidelity", measure)
    results = benchmark(place, job_of(fidelity=True), data=place.data, workers=1)
    assert len(results.failed) == 6
    assert results.failed["smote, repeat 0, fold 2, fidelity"] == "ValueError: nothing to compare"
    assert {row["method"] for row in results.rows} == {"none", "smote"}


@pytest.mark.usefixtures("undrawn")
def test_when_all_fails_the_first_reason_is_the_error(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BenchmarkClassifier, "fit", failing(lambda choice: True))
    with pytest.raises(StsError, match="no memory"):
        benchmark(place, job_of(curves=False), data=place.data, workers=1)


def test_borrowing_needs_somebody_to_borrow_from(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.data / "e-type.csv").unlink()
    arguments = ["--root", str(place.root), "--task", "me", "--borrow", "-q"]
    for more in ([], ["--dry-run"]):
        assert main([*arguments, *more]) == 2
        assert "put e-type.csv beside the other table" in capsys.readouterr().err
