"""The stages of the benchmark: divide the neurons, compute missing scores, compare, report."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from sts.augment.contract import GENERATORS
from sts.augment.grid import (
    REAL_NEURONS,
    Division,
    Item,
    choose_fold_count,
    divide_neurons,
    score_key,
)
from sts.augment.simulated import write_simulated_tables
from sts.augment.tasks import TASK_FILES, Task, load_task
from sts.base.errors import StsError
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.runs import start_run
from sts.base.tracking import Mode, track
from sts.base.workspace import Workspace
from sts.datasets.demo import TABLE_FOLDER, ensure_table
from sts.studies.augment.estimate import describe_time, estimate_seconds
from sts.studies.augment.pages import write_results
from sts.studies.augment.results import Results, compare_with_baseline, summarise_baseline
from sts.studies.augment.settings import Job
from sts.studies.augment.store import Store, open_store
from sts.studies.augment.work import (
    ItemOutcome,
    ItemPlan,
    is_measured,
    is_sampled,
    is_unfinished,
    plan_item,
    run_item,
)

logger = logging.getLogger("sts")

_STUDY: Final = "augment"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The scores that a job will compute."""

    methods: dict[str, int]
    """Missing scores of each method."""
    total: int
    """Scores of the whole grid."""
    missing: int
    seconds: float
    """Roughly, the processor time of the work that is left."""
    folder: Path
    """The folder of the scores."""


def benchmark(
    workspace: Workspace,
    job: Job,
    *,
    data: Path,
    workers: int | None = None,
    cluster: str | None = None,
    wandb: Mode = "off",
    force: bool = False,
    simulated: bool = False,
) -> Results:
    """Compute the scores of a job that are not stored yet, and write a report.

    Parameters
    ----------
    simulated
        The neurons are simulated, which the report says.
    """
    task = _load(job, data)
    divisions, store = _divide(workspace, job, task)
    with start_run(workspace, study=_STUDY, what=job.what, settings=job, resume=True) as run:
        if force:
            for method in job.all_methods:
                for division in divisions:
                    store.delete(method, division)
        tracker = track(wandb, folder=run.path, project=_STUDY, name=job.what, settings=job)
        failed = _run_items(job, task, divisions, store, workers=workers, cluster=cluster)
        results = _collect_results(job, task, divisions, store, failed)
        if results.failed and not results.rows:
            raise StsError(next(iter(results.failed.values())))
        gains = compare_with_baseline(results.rows, protocol=job.protocol)
        results = replace(results, gains=gains, simulated=simulated)
        write_results(run, results)
        scores = summarise_baseline(results).get(results.main_classifier, {})
        tracker.finish({f"baseline_{name}": interval.value for name, interval in scores.items()})
    return replace(results, folder=run.final)


def plan(workspace: Workspace, job: Job, *, data: Path, force: bool = False) -> Plan:
    """Return the work of a job without doing it."""
    task = _load(job, data)
    divisions, store = _divide(workspace, job, task)
    plans = _plan_items(job, task, divisions, store, force=force)
    methods = dict.fromkeys(job.all_methods, 0)
    for each in plans:
        methods[each.item.method] += len(each.missing)
    return Plan(
        methods=methods,
        total=sum(len(each.item.score_keys()) for each in plans),
        missing=sum(methods.values()),
        seconds=estimate_seconds(job, [each for each in plans if is_unfinished(each)]),
        folder=store.folder,
    )


def ensure_tables(data: Path, task: str) -> Path:
    """Return a folder of data for a task; simulated tables are written if it has none."""
    if task == "sts":
        ensure_table(data / TABLE_FOLDER)
        return data / TABLE_FOLDER
    folder = (data / TASK_FILES["e"][0]).parent
    if not (folder / "mee-type.csv").is_file():
        logger.info("simulated neurons are written to %s", folder)
        write_simulated_tables(folder, np.random.default_rng(0))
    return data


def _load(job: Job, data: Path) -> Task:
    if not data.is_dir():
        raise StsError(f"{data} is not a folder: --data names the one that contains the tables")
    task = load_task(job.task, data, features=job.features, given=job.given)
    if job.borrow and not task.borrowable:
        raise StsError(
            f"--borrow needs neurons without morphology: put {TASK_FILES['e'][-1]} beside the "
            f"other table in {data}"
        )
    return task


def _divide(workspace: Workspace, job: Job, task: Task) -> tuple[list[Division], Store]:
    folds = job.folds or choose_fold_count(task)
    divisions = divide_neurons(task, job.protocol, folds=folds, repeats=job.repeats, seed=job.seed)
    return divisions, open_store(workspace.output, job, task, divisions)


def _make_items(job: Job, task: Task, divisions: Sequence[Division]) -> Iterator[Item]:
    for method in job.all_methods:
        for division in divisions:
            yield Item(
                method=method,
                task=job.task,
                division=division,
                neurons=task.neurons,
                grid=job.grid,
                borrowed=task.borrowable if method in REAL_NEURONS else None,
                settings=job.generators.get(method, {}),
                condition=task.condition,
            )


def _run_items(
    job: Job,
    task: Task,
    divisions: Sequence[Division],
    store: Store,
    *,
    workers: int | None,
    cluster: str | None,
) -> dict[str, str]:
    """Compute everything that is not stored; return the reasons of failures, by place."""
    everything = _plan_items(job, task, divisions, store)
    plans = [each for each in everything if is_unfinished(each)]
    missing = sum(len(each.missing) for each in plans)
    stored = sum(len(each.item.score_keys()) for each in everything) - missing
    logger.info("%d scores to compute, %d are stored in %s", missing, stored, store.folder)
    logger.info("roughly %s of processor time", describe_time(estimate_seconds(job, plans)))
    failed: dict[str, str] = {}
    outcomes = map_unordered(
        partial(run_item, store=store), plans, workers=worker_count(workers), cluster=cluster
    )
    with progress(max(missing, 1), "scores") as bar:
        for place, outcome in outcomes:
            item = plans[place].item
            bar.advance(len(plans[place].missing), note=item.method)
            _store_outcome(store, item, outcome)
            failed |= outcome.failed
            for where, reason in outcome.failed.items():
                logger.warning("%s: %s", where, reason)
    return failed


def _plan_items(
    job: Job, task: Task, divisions: Sequence[Division], store: Store, *, force: bool = False
) -> list[ItemPlan]:
    """Return the work on every item; `force`: nothing that is stored is used."""
    items = list(_make_items(job, task, divisions))
    # The longest items first, so that all workers end at about the same time.
    items.sort(key=lambda item: -_estimate_cost(item))
    return [plan_item(job, item, store, force=force) for item in items]


def _estimate_cost(item: Item) -> float:
    deep = item.method in GENERATORS and GENERATORS[item.method].deep
    return sum(key.added for key in item.score_keys()) + 1e6 * deep


def _store_outcome(store: Store, item: Item, outcome: ItemOutcome) -> None:
    """Write the results of an item, since a worker on another host wrote to its own disk."""
    if outcome.rows:
        store.add_scores(item.method, item.division, outcome.rows)
    if outcome.notes:
        store.write_notes(item.method, item.division, outcome.notes)
    if outcome.measurements:
        store.write_measurements(item.method, item.division, outcome.measurements)
    if outcome.samples is not None:
        store.write_samples(item.method, item.division, outcome.samples)


def _collect_results(
    job: Job, task: Task, divisions: Sequence[Division], store: Store, failed: dict[str, str]
) -> Results:
    """Return all stored results of a job."""
    rows, fidelity, samples = [], [], {}
    notes: dict[tuple[str, str], int] = {}
    for item in _make_items(job, task, divisions):
        method, division = item.method, item.division
        known = {score_key(row): row for row in store.scores(method, division)}
        rows += [known[key] for key in item.score_keys() if key in known]
        if is_measured(job, item):
            place = {"method": method, "repeat": division.repeat, "fold": division.fold}
            fidelity += [{**place, **vars(each)} for each in store.measurements(method, division)]
        if is_sampled(job, item) and (stored := store.samples(method, division)) is not None:
            samples[method] = stored
        for note in store.notes(method, division):
            notes[method, note] = notes.get((method, note), 0) + 1
    return Results(
        job=job,
        task=task,
        divisions=tuple(divisions),
        rows=rows,
        fidelity=fidelity,
        samples=samples,
        notes=notes,
        failed=failed,
    )
