"""The stages of the benchmark: divide, score what is not scored yet, compare, draw, report."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sts.augment.contract import GENERATORS
from sts.augment.division import Division, divisions, fold_count
from sts.augment.evaluate import evaluate
from sts.augment.fidelity.measure import Found, measure
from sts.augment.grid import BASELINE, BORROW, key_of
from sts.augment.items import Item
from sts.augment.tasks import Task, load_task
from sts.base.errors import StsError
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.runs import start_run
from sts.base.tracking import Mode, track
from sts.base.workspace import Workspace
from sts.studies.augment.differences import differences_of
from sts.studies.augment.pages import write_results
from sts.studies.augment.results import Made, Results, baseline_of
from sts.studies.augment.samples import made_by
from sts.studies.augment.settings import Job
from sts.studies.augment.store import Store, open_store

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """What is to be done of one item."""

    item: Item
    waiting: int
    """Cells that are not scored yet."""
    measure: bool
    """Whether to measure how real its rows are."""
    show: bool
    """Whether to keep rows to look at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What came of one item."""

    rows: list[dict[str, Any]]
    found: list[Found]
    made: Made | None = None
    failed: str = ""


def benchmark(
    workspace: Workspace,
    job: Job,
    *,
    data: Path,
    workers: int | None = None,
    cluster: str | None = None,
    wandb: Mode = "off",
    force: bool = False,
) -> Results:
    """Score all cells of a job, those that are kept left out, and leave a report."""
    task = load_task(job.task, data, features=job.features)
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
        results = replace(results, differences=differences_of(results.rows, protocol=job.protocol))
        write_results(run, results)
        tracker.finish(_headline(results))
    return replace(results, folder=run.final)


def plan(workspace: Workspace, job: Job, *, data: Path) -> Plan:
    """Return what a job would do, and do nothing."""
    task = load_task(job.task, data, features=job.features)
    divided, store = _divided(workspace, job, task)
    items = list(_items(job, task, divided))
    methods = dict.fromkeys(job.rows_of_grid, 0)
    for item in items:
        methods[item.method] += len(_waiting(item, store))
    cells = sum(len(item.cells()) for item in items)
    waiting = sum(methods.values())
    return Plan(methods=methods, cells=cells, waiting=waiting, folder=store.folder)


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


def _waiting(item: Item, store: Store) -> list[Any]:
    done = {key_of(row) for row in store.cells(item.method, item.division)}
    return [key for key in item.cells() if key not in done]


def _measured(job: Job, item: Item) -> bool:
    """Tell whether fidelity is measured on an item: once a fold, on what makes rows."""
    makes = item.method == BASELINE or _makes(item.method)
    return job.fidelity and item.division.repeat == 0 and makes


def _shown(job: Job, item: Item) -> bool:
    """Tell whether rows of an item are kept to be looked at: in the first division."""
    first = item.division.repeat == 0 and item.division.fold == 0
    # Behind a reducer there are no units to show them in.
    return first and job.space == "native" and _measured(job, item) and _makes(item.method)


def _makes(method: str) -> bool:
    return method in GENERATORS and GENERATORS[method].adds_rows


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
    orders = [_order(job, item, store) for item in items]
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
            if outcome.failed:
                where = f"{item.method}, repeat {item.division.repeat}, fold {item.division.fold}"
                failed[where] = outcome.failed
                logger.warning("%s: %s", where, outcome.failed)
    return _collected(job, task, divided, store, failed)


def _order(job: Job, item: Item, store: Store) -> Order:
    """Return what is still to be done of an item."""
    method, division = item.method, item.division
    return Order(
        item=item,
        waiting=len(_waiting(item, store)),
        measure=_measured(job, item) and not store.found(method, division),
        show=_shown(job, item) and store.made(method, division) is None,
    )


def _price(item: Item) -> float:
    deep = item.method in GENERATORS and GENERATORS[item.method].deep
    return sum(key.added for key in item.cells()) + 1e6 * deep


def work_on(order: Order, *, store: Store) -> Outcome:
    """Do what is open of one item; each cell is kept as soon as it is there."""
    item = order.item
    rows = store.cells(item.method, item.division)

    def keep(row: dict[str, Any]) -> None:
        rows.append(row)
        store.keep(item.method, item.division, rows)

    try:
        bench = evaluate(item, done=[key_of(row) for row in rows], keep=keep)
        found = measure(bench) if order.measure else []
        made = made_by(bench) if order.show else None
    except StsError as error:
        return Outcome(rows=rows, found=[], failed=str(error))
    return Outcome(rows=rows, found=found, made=made)


def _keep(store: Store, item: Item, outcome: Outcome) -> None:
    """Write what came back: a worker on another host wrote to a disk of its own."""
    if outcome.rows:
        store.keep(item.method, item.division, outcome.rows)
    if outcome.found:
        store.keep_found(item.method, item.division, outcome.found)
    if outcome.made is not None:
        store.keep_made(item.method, item.division, outcome.made)


def _collected(
    job: Job, task: Task, divided: Sequence[Division], store: Store, failed: dict[str, str]
) -> Results:
    rows, fidelity, shown = [], [], {}
    for item in _items(job, task, divided):
        wanted = set(item.cells())
        rows += [row for row in store.cells(item.method, item.division) if key_of(row) in wanted]
        if _measured(job, item):
            where = {
                "method": item.method,
                "repeat": item.division.repeat,
                "fold": item.division.fold,
            }
            fidelity += [
                {**where, **vars(each)} for each in store.found(item.method, item.division)
            ]
        if _shown(job, item) and (made := store.made(item.method, item.division)) is not None:
            shown[item.method] = made
    return Results(
        job=job,
        task=task,
        divided=tuple(divided),
        rows=rows,
        fidelity=fidelity,
        made=shown,
        failed=failed,
    )


def _headline(results: Results) -> dict[str, float]:
    """Return the baseline, for whoever follows many runs."""
    scores = baseline_of(results).get(results.speaker, {})
    return {f"baseline_{name}": interval.value for name, interval in scores.items()}
