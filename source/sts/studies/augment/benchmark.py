"""The stages of the benchmark: divide, score what is not scored yet, compare, draw, report."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from sts.augment.contract import GENERATORS
from sts.augment.division import Division, divisions, fold_count
from sts.augment.grid import BORROW, Item, key_of
from sts.augment.simulated import write_tables
from sts.augment.tasks import FILES, Task, load_task
from sts.base.errors import StsError
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.runs import start_run
from sts.base.tracking import Mode, track
from sts.base.workspace import Workspace
from sts.datasets.demo import TABLE_FOLDER, ensure_table
from sts.studies.augment.differences import differences_of
from sts.studies.augment.pages import write_results
from sts.studies.augment.results import Results, baseline_of
from sts.studies.augment.settings import Job
from sts.studies.augment.store import Store, open_store
from sts.studies.augment.work import (
    ItemOutcome,
    is_measured,
    is_shown,
    order_of,
    waiting_cells,
    work_on,
)

logger = logging.getLogger("sts")

STUDY: Final = "augment"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What there is to do."""

    methods: dict[str, int]
    """Cells of each that are not scored yet."""
    cells: int
    """Of the whole grid."""
    waiting: int
    """Of them those that are not scored yet."""
    folder: Path
    """Where finished ones are kept."""


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
    """Score all cells of a job, those that are kept left out, and leave a report.

    Parameters
    ----------
    simulated
        The neurons are made up, which the report says.
    """
    task = _task(job, data)
    divided, store = _divided(workspace, job, task)
    with start_run(workspace, study=STUDY, what=job.what, settings=job, resume=True) as run:
        if force:
            for method in job.rows_of_grid:
                for division in divided:
                    store.forget(method, division)
        tracker = track(wandb, folder=run.path, project=STUDY, name=job.what, settings=job)
        results = _score(job, task, divided, store, workers=workers, cluster=cluster)
        if results.failed and not results.rows:
            raise StsError(next(iter(results.failed.values())))
        differences = differences_of(results.rows, protocol=job.protocol)
        results = replace(results, differences=differences, simulated=simulated)
        write_results(run, results)
        tracker.finish(_headline(results))
    return replace(results, folder=run.final)


def plan(workspace: Workspace, job: Job, *, data: Path, force: bool = False) -> Plan:
    """Return what a job would do, and do nothing."""
    task = _task(job, data)
    divided, store = _divided(workspace, job, task)
    items = list(_items(job, task, divided))
    methods = dict.fromkeys(job.rows_of_grid, 0)
    for item in items:
        methods[item.method] += len(item.cells() if force else waiting_cells(item, store))
    cells = sum(len(item.cells()) for item in items)
    waiting = sum(methods.values())
    return Plan(methods=methods, cells=cells, waiting=waiting, folder=store.folder)


def _task(job: Job, data: Path) -> Task:
    if not data.is_dir():
        raise StsError(f"{data} is not a folder: --data names the one that holds the tables")
    task = load_task(job.task, data, features=job.features)
    if job.borrow and not task.lenders:
        raise StsError(
            f"--borrow needs neurons without morphology: put {FILES['e'][-1]} beside the other "
            f"table in {data}"
        )
    return task


def _divided(workspace: Workspace, job: Job, task: Task) -> tuple[list[Division], Store]:
    folds = job.folds or fold_count(task)
    divided = divisions(task, job.protocol, folds=folds, repeats=job.repeats, seed=job.seed)
    return divided, open_store(workspace.output, job, task, divided)


def _items(job: Job, task: Task, divided: Sequence[Division]) -> Iterator[Item]:
    for method in job.rows_of_grid:
        for division in divided:
            yield Item(
                method=method,
                task=job.task,
                division=division,
                neurons=task.neurons,
                grid=job.grid,
                lenders=task.lenders if method == BORROW else None,
                settings=job.generators.get(method, {}),
            )


def _score(
    job: Job,
    task: Task,
    divided: Sequence[Division],
    store: Store,
    *,
    workers: int | None,
    cluster: str | None,
) -> Results:
    items = list(_items(job, task, divided))
    # The dearest first, so that no worker is left alone with one at the end.
    items.sort(key=lambda item: -_price(item))
    orders = [order_of(job, item, store) for item in items]
    orders = [order for order in orders if order.waiting or order.measure or order.show]
    cells = sum(order.waiting for order in orders)
    kept = sum(len(item.cells()) for item in items) - cells
    logger.info("%d cells to score, %d are kept in %s", cells, kept, store.folder)
    failed: dict[str, str] = {}
    outcomes = map_unordered(
        partial(work_on, store=store), orders, workers=worker_count(workers), cluster=cluster
    )
    with progress(max(cells, 1), "cells") as bar:
        for place, outcome in outcomes:
            item = orders[place].item
            bar.advance(orders[place].waiting, note=item.method)
            _keep(store, item, outcome)
            failed |= outcome.failed
            for where, reason in outcome.failed.items():
                logger.warning("%s: %s", where, reason)
    return _collected(job, task, divided, store, failed)


def _price(item: Item) -> float:
    deep = item.method in GENERATORS and GENERATORS[item.method].deep
    return sum(key.added for key in item.cells()) + 1e6 * deep


def _keep(store: Store, item: Item, outcome: ItemOutcome) -> None:
    """Write what came back: a worker on another host wrote to a disk of its own."""
    if outcome.rows:
        store.keep(item.method, item.division, outcome.rows)
    if outcome.notes:
        store.keep_notes(item.method, item.division, outcome.notes)
    if outcome.found:
        store.keep_found(item.method, item.division, outcome.found)
    if outcome.made is not None:
        store.keep_made(item.method, item.division, outcome.made)


def _collected(
    job: Job, task: Task, divided: Sequence[Division], store: Store, failed: dict[str, str]
) -> Results:
    rows, fidelity, made = [], [], {}
    notes: dict[tuple[str, str], int] = {}
    for item in _items(job, task, divided):
        method, division = item.method, item.division
        known = {key_of(row): row for row in store.cells(method, division)}
        rows += [known[key] for key in item.cells() if key in known]
        if is_measured(job, item):
            place = {"method": method, "repeat": division.repeat, "fold": division.fold}
            fidelity += [{**place, **vars(each)} for each in store.found(method, division)]
        if is_shown(job, item) and (shown := store.made(method, division)) is not None:
            made[method] = shown
        for note in store.notes(method, division):
            notes[method, note] = notes.get((method, note), 0) + 1
    return Results(
        job=job,
        task=task,
        divided=tuple(divided),
        rows=rows,
        fidelity=fidelity,
        made=made,
        notes=notes,
        failed=failed,
    )


def _headline(results: Results) -> dict[str, float]:
    """Return the baseline, for whoever follows many runs."""
    scores = baseline_of(results).get(results.speaker, {})
    return {f"baseline_{name}": interval.value for name, interval in scores.items()}


def ensure_tables(data: Path, task: str) -> Path:
    """Return a folder of data for a task, with simulated tables unless there are some."""
    if task == "sts":
        ensure_table(data / TABLE_FOLDER)
        return data / TABLE_FOLDER
    folder = (data / FILES["e"][0]).parent
    if not (folder / "mee-type.csv").is_file():
        logger.info("made-up neurons are written to %s", folder)
        write_tables(folder, np.random.default_rng(0))
    return data
