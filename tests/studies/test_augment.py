"""A benchmark on made-up neurons: through the command, kept cell by cell, resumed, reported."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.augment.division import divisions
from sts.augment.items import Item
from sts.augment.simulated import write_tables
from sts.augment.tasks import load_task
from sts.base.errors import StsError
from sts.base.files import read_csv, read_json
from sts.base.parallel import map_unordered
from sts.base.workspace import Workspace
from sts.cli.augment import main
from sts.studies.augment import benchmark as benchmarking
from sts.studies.augment.benchmark import Order, benchmark, plan, work_on
from sts.studies.augment.demo import ensure_tables
from sts.studies.augment.differences import differences_of, levels_of
from sts.studies.augment.settings import Job, make_job
from sts.studies.augment.store import open_store

FEW = ("naive-bayes", "lda")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, which takes longer than all cells together."""
    monkeypatch.setattr(benchmarking, "write_results", lambda run, results: None)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    write_tables(workspace.data, np.random.default_rng(1))
    return workspace


def job_of(**changes: Any) -> Job:
    given = {"classifiers": FEW, "added": (20,), "repeats": 1, "folds": 3, "fidelity": False}
    return make_job(**{"methods": ("smote",), **given, **changes})


def test_the_command_goes_all_the_way(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--root", str(place.root), "--task", "me", "--borrow", "--workers", "1", "-q"]
    arguments += ["--method", "smote", "weights", "--classifiers", "lda", "extra-trees"]
    arguments += ["--added", "10", "20", "--folds", "3", "--repeats", "1"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "Real neurons" in said
    assert "Class weights" in said
    (folder,) = (path.parent for path in place.output.glob("augment/me-*/*/DONE"))
    rows = read_csv(folder / "results.csv", ("method", "macro_f1", "recall_Exc_1", "how"))
    # 3 folds, 2 classifiers: 5 parts of the baseline, 2 levels of SMOTE, weights, borrowing.
    assert len(rows) == 3 * 2 * (5 + 2 + 1 + 1)
    verdicts = {row["verdict"] for row in read_csv(folder / "differences.csv", ("score",))}
    assert verdicts <= {"helps", "hurts", "cannot tell"}
    report = read_json(folder / "report.json")
    assert report["fidelity"]["none"]["nearest, training"] > 0
    assert "superseded" in report["left_out"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "partly circular" in page
    assert {path.name for path in (folder / "figures").glob("*.png")} == {
        "added.png",
        "baseline.png",
        "classes.png",
        "densities.png",
        "fidelity.png",
        "map.png",
    }
    sources = {row["source"] for row in read_csv(folder / "samples.csv", ("class", "vrest"))}
    assert sources == {"real, training", "real, held out", "SMOTE"}


@pytest.mark.usefixtures("undrawn")
def test_scored_cells_are_not_scored_again(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = benchmark(place, job_of(), data=place.data, workers=1)
    asked: list[int] = []
    evaluate = benchmarking.evaluate

    def counted(item: Any, **named: Any) -> Any:
        asked.append(len(item.cells()) - len(named["done"]))
        return evaluate(item, **named)

    monkeypatch.setattr(benchmarking, "evaluate", counted)
    again = benchmark(place, job_of(), data=place.data, workers=1)
    assert asked == []
    assert again.rows == first.rows
    # Another N, another classifier and another method add their own cells alone.
    more = job_of(added=(20, 40), classifiers=(*FEW, "tree"), methods=("smote", "random"))
    benchmark(place, more, data=place.data, workers=1)
    whole = plan(place, more, data=place.data)
    assert sum(asked) == whole.cells - len(first.rows)
    assert whole.waiting == 0


@pytest.mark.usefixtures("undrawn")
def test_interrupted_it_goes_on_and_ends_as_it_would_have(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Workspace(tmp_path / "other")
    whole = benchmark(other, job_of(), data=place.data, workers=1)
    scored = benchmarking.evaluate

    def ends(item: Any, **named: Any) -> Any:
        keep, count = named["keep"], [0]

        def few(row: Any) -> None:
            keep(row)
            count[0] += 1
            if count[0] == 3:
                raise KeyboardInterrupt

        return scored(item, done=named["done"], keep=few)

    with monkeypatch.context() as patched:
        patched.setattr(benchmarking, "evaluate", ends)
        with pytest.raises(KeyboardInterrupt):
            benchmark(place, job_of(), data=place.data, workers=1)
    left = plan(place, job_of(), data=place.data)
    assert 0 < left.waiting < left.cells
    resumed = benchmark(place, job_of(), data=place.data, workers=1)
    assert not list(place.output.glob("augment/*/*.unfinished"))
    times = ("seconds",)
    for one, two in zip(resumed.rows, whole.rows, strict=True):
        assert {k: v for k, v in one.items() if k not in times} == {
            k: v for k, v in two.items() if k not in times
        }


def test_work_can_be_sent_to_another_process(place: Workspace) -> None:
    job = job_of(classifiers=("lda",), fidelity=True)
    task = load_task("e", place.data)
    divided = divisions(task, "cv", folds=3, repeats=1, seed=0)
    store = open_store(place.output, job, task, divided)
    item = Item(method="smote", task="e", division=divided[0], neurons=task.neurons, grid=job.grid)
    order = Order(item=item, waiting=1, measure=True, show=True)
    here = work_on(order, store=store)
    store.forget("smote", divided[0])
    ((_, there),) = map_unordered(partial(work_on, store=store), [order], workers=2)
    assert [row["macro_f1"] for row in there.rows] == [row["macro_f1"] for row in here.rows]
    assert list(map(repr, there.found)) == list(map(repr, here.found))
    assert here.made is not None
    assert here.made.rows.shape == (len(divided[0].fit), 45)


def test_a_method_that_fails_costs_its_own_cells(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place.root / "settings.json"
    file.write_text('{"smote": {"neighbours": 0}}', encoding="utf-8")
    arguments = ["--root", str(place.root), "-q", "--workers", "1", "--classifiers", "lda"]
    assert main([*arguments, "--settings", str(file)]) == 2
    assert "neighbours must be at least 1" in capsys.readouterr().err


def test_failed_items_are_told_and_the_rest_is_reported(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = benchmarking.evaluate

    def fails(item: Any, **named: Any) -> Any:
        if item.method == "smote" and item.division.fold == 1:
            raise StsError("no rows to make others from")
        return evaluate(item, **named)

    monkeypatch.setattr(benchmarking, "evaluate", fails)
    results = benchmark(place, job_of(), data=place.data, workers=1)
    assert results.failed == {"smote, repeat 0, fold 1": "no rows to make others from"}
    assert {row["fold"] for row in results.rows if row["method"] == "smote"} == {0, 2}
    assert "no rows to make" in (results.folder / "report.html").read_text(encoding="utf-8")


def test_the_papers_protocol_is_one_holdout_and_seeds(place: Workspace) -> None:
    job = make_job(protocol="paper", classifiers=("mlp",), added=(5,), repeats=3, fidelity=False)
    results = benchmark(place, replace(job, curves=False), data=place.data, workers=1)
    base = [row for row in results.rows if row["method"] == "none"]
    assert [row["repeat"] for row in base] == [0, 1, 2]
    assert {row["fold"] for row in base} == {0}
    # Another seed is another fit on the same rows.
    assert len({row["log_loss"] for row in base}) == 3
    assert "too narrow" in (results.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn")
def test_a_reduced_space_goes_through(place: Workspace) -> None:
    job = job_of(reducer="pca", components=4, space="reduced", fidelity=True, curves=False)
    results = benchmark(place, job, data=place.data, workers=1)
    features = {row["feature"] for row in results.fidelity if row["measure"] == "ks"}
    assert features == {f"component {number}" for number in range(1, 5)}


def test_demo_tables_are_written_once(tmp_path: Path) -> None:
    assert ensure_tables(tmp_path, "e") == tmp_path
    (path,) = tmp_path.glob("etypes/e-type.csv")
    before = path.stat().st_mtime_ns
    ensure_tables(tmp_path, "me")
    assert path.stat().st_mtime_ns == before


def test_dry_run_says_what_there_is_and_writes_nothing(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--root", str(place.root), "--dry-run", "-q", "--repeats", "1", "--folds", "3"]
    assert main([*arguments, "--classifiers", "lda"]) == 0
    # 5 parts of the baseline and 3 levels of SMOTE in 3 folds.
    assert "24 cells, 0 of them scored" in capsys.readouterr().out
    assert not place.output.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--method", "smotte"], "unknown method 'smotte': did you mean 'smote'"),
        (["--task", "mee"], "did you mean 'me'"),
        (["--reducer", "ISOMAP"], "unknown reducer"),
        (["--space", "reduced"], "needs a --reducer"),
        (["--borrow"], "--borrow is for --task me"),
        (["--protocol", "papers"], "did you mean 'paper'"),
        (["--classifiers", "knn"], "unknown classifier 'knn'"),
        (["--folds", "2"], "--folds must be at least 3"),
        (["--reducer", "pca", "--components", "90", "--classifiers", "lda"], "--components must"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    place: Workspace, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    status = main(["--root", str(place.root), "-q", "--workers", "1", *arguments])
    said = capsys.readouterr().err
    assert status == 2
    assert reason in said


def row(method: str, fold: int, value: float, added: int = 0) -> dict[str, Any]:
    return {
        "method": method,
        "repeat": 0,
        "fold": fold,
        "added": added,
        "part": 1.0,
        "classifier": "lda",
        "accuracy": value,
        "recall_a": np.nan if fold == 2 else value,
        "train_rows": 80,
        "scored_rows": 20,
    }


def test_differences_are_paired_by_fold() -> None:
    base = [row("none", fold, value) for fold, value in enumerate((0.2, 0.5, 0.8))]
    more = [row("smote", fold, value, 9) for fold, value in enumerate((0.31, 0.6, 0.89))]
    accuracy, recall = differences_of([*base, *more], protocol="cv")
    assert accuracy.difference.value == pytest.approx(0.1)
    # Folds differ far more than the method does, and cancel.
    assert accuracy.verdict == "helps"
    assert (accuracy.baseline, accuracy.value) == pytest.approx((0.5, 0.6))
    assert (accuracy.pairs, recall.pairs) == (3, 2)
    level = levels_of(base, "accuracy", protocol="cv")["none", "lda", 0, 1.0]
    assert level.low < 0.2
