"""Cells are kept one by one: nothing is scored twice, and nothing finished is lost."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sts.augment.evaluate import evaluate
from sts.augment.fidelity import MEASURES, Measurement
from sts.base.errors import StsError
from sts.base.parallel import map_unordered
from sts.base.workspace import Workspace
from sts.studies.augment import benchmark as benchmarking
from sts.studies.augment import work as working
from sts.studies.augment.benchmark import benchmark, plan
from sts.studies.augment.store import Store
from sts.studies.augment.work import ItemPlan, run_item
from tests.studies.augment.worlds import FEW, first_item, job_of, made_workspace, without_times


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, which takes longer than all cells together."""
    monkeypatch.setattr(benchmarking, "write_results", lambda run, results: None)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return made_workspace(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_scored_cells_are_not_scored_again(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = benchmark(place, job_of(), data=place.data, workers=1)
    asked: list[int] = []
    evaluate = working.evaluate

    def counted(item: Any, **named: Any) -> Any:
        asked.append(len(item.score_keys()) - len(named["done"]))
        return evaluate(item, **named)

    monkeypatch.setattr(working, "evaluate", counted)
    again = benchmark(place, job_of(), data=place.data, workers=1)
    assert asked == []
    assert again.rows == first.rows
    # Another N, another classifier and another method add their own cells alone.
    more = job_of(added=(20, 40), classifiers=(*FEW, "tree"), methods=("smote", "random"))
    benchmark(place, more, data=place.data, workers=1)
    whole = plan(place, more, data=place.data)
    assert sum(asked) == whole.total - len(first.rows)
    assert whole.missing == 0


@pytest.mark.usefixtures("undrawn")
def test_interrupted_it_goes_on_and_ends_as_it_would_have(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Workspace(tmp_path / "other")
    whole = benchmark(other, job_of(), data=place.data, workers=1)
    scored = working.evaluate

    def ends(item: Any, **named: Any) -> Any:
        keep, count = named["keep"], [0]

        def few(row: Any) -> None:
            keep(row)
            count[0] += 1
            if count[0] == 3:
                raise KeyboardInterrupt

        return scored(item, done=named["done"], keep=few)

    with monkeypatch.context() as patched:
        patched.setattr(working, "evaluate", ends)
        with pytest.raises(KeyboardInterrupt):
            benchmark(place, job_of(), data=place.data, workers=1)
    left = plan(place, job_of(), data=place.data)
    assert 0 < left.missing < left.total
    resumed = benchmark(place, job_of(), data=place.data, workers=1)
    assert not list(place.output.glob("augment/*/*.unfinished"))
    assert without_times(resumed.rows) == without_times(whole.rows)


def test_work_can_be_sent_to_another_process(place: Workspace) -> None:
    job = job_of(classifiers=("lda",), fidelity=True)
    item, store = first_item(place, job)
    order = ItemPlan(item=item, missing=tuple(item.score_keys()), measure=True, sample=True)
    here = run_item(order, store=store)
    store.delete("smote", item.division)
    ((_, there),) = map_unordered(partial(run_item, store=store), [order], workers=2)
    assert [row["macro_f1"] for row in there.rows] == [row["macro_f1"] for row in here.rows]
    assert list(map(repr, there.measurements)) == list(map(repr, here.measurements))
    assert here.samples is not None
    assert here.samples.rows.shape == (len(item.division.fit), 45)


@pytest.mark.usefixtures("undrawn")
def test_however_many_workers_the_cells_are_the_same(place: Workspace, tmp_path: Path) -> None:
    alone = benchmark(place, job_of(methods=("copula",)), data=place.data, workers=1)
    other = Workspace(tmp_path / "other")
    several = benchmark(other, job_of(methods=("copula",)), data=place.data, workers=2)
    assert without_times(several.rows) == without_times(alone.rows)


@pytest.mark.usefixtures("undrawn")
def test_force_scores_all_of_them_again(place: Workspace) -> None:
    job = job_of(classifiers=("naive-bayes",), curves=False)
    benchmark(place, job, data=place.data, workers=1)
    assert plan(place, job, data=place.data).missing == 0
    assert plan(place, job, data=place.data, force=True).missing == 6
    kept = min(path.stat().st_mtime_ns for path in place.output.glob("augment/cells/*/*.csv"))
    benchmark(place, job, data=place.data, workers=1, force=True)
    assert all(p.stat().st_mtime_ns > kept for p in place.output.glob("augment/cells/*/*.csv"))


def test_two_runs_at_once_keep_the_cells_of_both(place: Workspace) -> None:
    one, store = first_item(place, job_of(classifiers=("lda",)))
    other, _ = first_item(place, job_of(classifiers=("naive-bayes",)))
    rows: list[list[dict[str, Any]]] = [[], []]
    # Both began before either had a cell, and write in turns.
    for item, kept in zip((one, other), rows, strict=True):
        evaluate(item, keep=kept.append)
    for kept in rows:
        store.add_scores("smote", one.division, kept)
    names = [row["classifier"] for row in store.scores("smote", one.division)]
    assert names == ["lda", "naive-bayes"]


def test_a_file_of_cells_that_is_none_is_named(place: Workspace) -> None:
    item, store = first_item(place, job_of(classifiers=("lda",)))
    rows: list[dict[str, Any]] = []
    evaluate(item, keep=rows.append)
    store.add_scores("smote", item.division, rows)
    path = store.path("smote", item.division)
    path.write_text(path.read_text(encoding="utf-8").replace(",20,", ",many,"), encoding="utf-8")
    with pytest.raises(StsError, match="delete it and run again"):
        store.scores("smote", item.division)


def test_figures_of_another_set_of_measures_are_measured_again(place: Workspace) -> None:
    item, store = first_item(place, job_of())
    all_of_them = [Measurement(measure=name, against="", value=0.5) for name in MEASURES]
    store.write_measurements("smote", item.division, all_of_them)
    assert store.measurements("smote", item.division) == all_of_them
    store.write_measurements("smote", item.division, all_of_them[1:])
    assert store.measurements("smote", item.division) == []


@pytest.mark.usefixtures("undrawn")
def test_a_full_disk_is_told_and_loses_nothing_finished(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, kept = Store.add_scores, [0]

    def fills(self: Store, method: str, division: Any, rows: Any) -> None:
        kept[0] += 1
        if kept[0] > 3:
            raise StsError("cannot write it: the disk is full")
        keep(self, method, division, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "add_scores", fills)
        with pytest.raises(StsError, match="the disk is full"):
            benchmark(place, job_of(curves=False), data=place.data, workers=1)
    # Nothing is tried again that would not be written either.
    assert kept == [4]
    left = plan(place, job_of(curves=False), data=place.data)
    # The first item of two cells is kept cell by cell and then once more, the second cell by cell.
    assert left.total - left.missing == 2
    assert benchmark(place, job_of(curves=False), data=place.data, workers=1).failed == {}


def test_cells_of_deep_generators_on_a_gpu_are_kept_apart(tmp_path: Path) -> None:
    item, here = first_item(made_workspace(tmp_path), job_of())
    there = replace(here, device="cuda")
    assert here.path("gan", item.division) != there.path("gan", item.division)
    assert here.path("smote", item.division) == there.path("smote", item.division)
