"""Measure the augmentation benchmark: the default grid, every generator, and the published grid.

    python benchmarks/augment.py --data DATA [--methods smote vae ...] [--out FILE] [--quick]
        [--only all]

DATA holds e-type.csv and mee-type.csv. The default grid is `--method smote` as a user starts it,
on all cores. Every generator is fitted on one training part of task E and makes 10,000 rows of
each class, on one thread. The time of `--method all` with 500 rows added to each class is put
together from processor times of its parts on one fold, and can be measured alone
(--only all). Every classifier is fitted beside the one that a user of scikit-learn or
LightGBM would pick, at its defaults, on the same rows and one thread. The time of the whole
published grid (two tasks, seven reducers, the paper's seven classifiers, N up to 10,000, five
seeds, five methods) is put together from cells that were measured: the classifiers at each N on
SMOTE's rows, and the generators. Times are wall clock, so the machine should be idle; its load is
among the results.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from augment_peers import time_classifiers
from sts.augment.contract import GENERATORS, METHODS, make_generator
from sts.augment.evaluate import PreparedItem, evaluate
from sts.augment.fidelity import measure_fidelity
from sts.augment.grid import BASELINE, Grid, Item, choose_fold_count, divide_neurons
from sts.augment.tasks import Task, load_task
from sts.base.files import read_json, write_json
from sts.base.parallel import worker_count
from sts.base.workspace import Workspace
from sts.studies.augment.benchmark import benchmark
from sts.studies.augment.settings import DEFAULT_ADDED, make_benchmark_job

RESULTS: Final = Path(__file__).resolve().parent / "results" / "augment.json"
# All classifiers but the vote, which adds no time to that of its members.
GRID: Final = (
    "svm",
    "mlp",
    "tree",
    "forest",
    "naive-bayes",
    "lda",
    "logistic",
    "extra-trees",
    "lightgbm",
)
PAPER: Final = ("svm", "mlp", "tree", "forest", "naive-bayes", "lda", "logistic")
EACH: Final = 10_000
SEEDS: Final = 5
REDUCERS: Final = 7
TARGETS: Final = {"default_grid_s": 600.0, "all_s": 900.0, "fit_s": 180.0, "sample_s": 60.0}
ALL_ADDED: Final = 500
CORES: Final = 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """Times of one generator on task E."""

    method: str
    fit_s: float
    sample_s: float
    rows: int
    notes: tuple[str, ...]


def time_grid(data: Path, *, quick: bool) -> float:
    """Return the seconds of `--method smote`."""
    smaller = {"added": (100,), "repeats": 1, "fidelity": False} if quick else {}
    job = make_benchmark_job(methods=("smote",), classifiers=GRID, **smaller)
    with tempfile.TemporaryDirectory() as folder:
        begin_s = time.perf_counter()
        benchmark(Workspace(Path(folder)), job, data=data)
        return time.perf_counter() - begin_s


def first_item(task: Task, method: str, grid: Grid) -> Item:
    """Return a method on the first fold."""
    division = divide_neurons(task, "cv", folds=choose_fold_count(task), repeats=1, seed=0)[0]
    return Item(method=method, task=task.name, division=division, neurons=task.neurons, grid=grid)


def time_generator(task: Task, method: str, *, each: int) -> Row:
    """Time fitting a generator and making `each` rows of every class."""
    prepared = PreparedItem(first_item(task, method, Grid()))
    X, y = prepared.view.native, prepared.view.y
    begin_s = time.perf_counter()
    generator = make_generator(method, task=task.name).fit(X, y, np.random.default_rng(0))
    fitted_s = time.perf_counter()
    made = [
        generator.sample(label, each, np.random.default_rng(label))
        for label in np.unique(y).tolist()
    ]
    ended_s = time.perf_counter()
    return Row(
        method=method,
        fit_s=fitted_s - begin_s,
        sample_s=ended_s - fitted_s,
        rows=sum(map(len, made)),
        notes=generator.notes,
    )


def time_all(task: Task) -> dict[str, Any]:
    """Return the processor times of the parts of `--method all`, and its seconds on two idle cores.

    Parts are timed on the first fold, with 500 rows added to each class. All methods add as many
    rows, so classifiers and fidelity are timed on those of SMOTE.
    """
    job = make_benchmark_job(methods=("all",), added=(ALL_ADDED,))
    plain = replace(job.grid, curves=False)
    begin_s = time.process_time()
    real = evaluate(first_item(task, BASELINE, plain))
    scored_s = time.process_time()
    evaluate(first_item(task, BASELINE, job.grid), done=real.item.score_keys())
    curves_s = time.process_time()
    measure_fidelity(real)
    measured_s = time.process_time()
    smote = evaluate(first_item(task, "smote", plain))
    added_s = time.process_time()
    measure_fidelity(smote)
    parts = {
        "scores": scored_s - begin_s,
        "curves": curves_s - scored_s,
        "fidelity_of_real_cells": measured_s - curves_s,
        "scores_with_added_rows": added_s - measured_s,
        "fidelity": time.process_time() - added_s,
    }
    adding = [name for name in job.methods if GENERATORS[name].adds_rows]
    for name in adding:
        begin_s = time.process_time()
        time_generator(task, name, each=ALL_ADDED)
        parts[name] = time.process_time() - begin_s
    others = len(job.all_methods) - len(adding)
    generators_s = sum(parts[name] for name in adding)
    twice_s = others * parts["scores"] + len(adding) * parts["scores_with_added_rows"]
    once_s = parts["curves"] + parts["fidelity_of_real_cells"] + len(adding) * parts["fidelity"]
    one_fold_s = job.repeats * (twice_s + generators_s) + once_s
    return {"all_s": choose_fold_count(task) * one_fold_s / CORES, "all_parts_s": parts}


def time_cells(task: Task, added: Sequence[int]) -> dict[int, float]:
    """Return the seconds of the paper's classifiers at each N, on the rows of SMOTE."""
    seconds = dict.fromkeys(added, 0.0)
    grid = Grid(added=tuple(added), classifiers=PAPER, curves=False)

    def keep(row: dict[str, Any]) -> None:
        seconds[row["added"]] += row["seconds"]

    evaluate(first_item(task, "smote", grid), keep=keep)
    seconds[0] = 0.0
    evaluate(first_item(task, "none", grid), keep=keep)
    return dict(sorted(seconds.items()))


def measure(data: Path, methods: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Return all times."""
    where = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": worker_count(None),
        "load": os.getloadavg()[0],
    }
    task = load_task("e", data)
    each = 1000 if quick else EACH
    rows = [time_generator(task, method, each=each) for method in methods]
    added = DEFAULT_ADDED["cv"] if quick else DEFAULT_ADDED["paper"]
    cells = time_cells(task, added)
    all_methods = time_all(task)
    generators = {row.method: row.fit_s + row.sample_s for row in rows if row.method in METHODS}
    one_seed_s = cells[0] + sum(
        sum(seconds for n, seconds in cells.items() if n) + generators[name] for name in generators
    )
    peers = PreparedItem(first_item(task, "smote", Grid(added=tuple(added), classifiers=GRID)))
    return {
        "machine": where,
        "versions": {n: metadata.version(n) for n in ("lightgbm", "scikit-learn", "torch")},
        "quick": quick,
        "default_grid_s": time_grid(data, quick=quick),
        **all_methods,
        "classifiers": [asdict(pair) for pair in time_classifiers(peers, added[1])],
        "classifiers_of": {"rows_added_to_each_class": added[1]},
        "generators": [asdict(row) for row in rows],
        "cells_s": {str(n): seconds for n, seconds in cells.items()},
        # Task M+E has a quarter of the neurons, but as many synthetic ones: taken as task E.
        "published_grid_core_hours": 2 * REDUCERS * SEEDS * one_seed_s / 3600,
        "published_grid_of": {"methods": list(generators), "added": list(added)},
    }


def print_report(report: dict[str, Any]) -> None:
    """Print the times, and whether the targets are met."""
    grid_s = report["default_grid_s"]
    # A smaller grid has no target.
    verdict = "(a part of it)" if report["quick"] else _met(grid_s, "default_grid_s")
    print(f"default grid, --method smote: {grid_s:.0f} s {verdict}")
    all_s = report["all_s"]
    print(f"--method all, 500 rows a class, from one fold: {all_s:.0f} s {_met(all_s, 'all_s')}")
    for pair in report["classifiers"]:
        ratio = pair["usual_s"] / pair["ours_s"]
        print(
            f"{pair['classifier']:12} {pair['ours_s']:6.1f} s, accuracy {pair['accuracy']:.3f}; "
            f"usual {pair['usual_s']:6.1f} s, {pair['usual_accuracy']:.3f}; {ratio:.1f} times"
        )
    ours_s, usual_s = (
        sum(pair[side] for pair in report["classifiers"]) for side in ("ours_s", "usual_s")
    )
    print(f"all of them: {ours_s:.1f} s, usual {usual_s:.1f} s; {usual_s / ours_s:.1f} times")
    for row in report["generators"]:
        deep = GENERATORS[row["method"]].deep
        fit = _met(row["fit_s"], "fit_s") if deep else ""
        print(
            f"{row['method']:12} fit {row['fit_s']:7.1f} s {fit}  {row['rows']:,} rows in "
            f"{row['sample_s']:.1f} s {_met(row['sample_s'], 'sample_s')}"
        )
    for added, seconds in report["cells_s"].items():
        print(f"the paper's classifiers, {added} rows added to each class: {seconds:.1f} s")
    hours = report["published_grid_core_hours"]
    print(f"the published grid from these: {hours:.1f} core hours {report['published_grid_of']}")


def _met(seconds: float, name: str) -> str:
    wanted = TARGETS[name]
    return f"(wanted {wanted:g} s: {'met' if seconds <= wanted else 'missed'})"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--methods", nargs="+", default=list(GENERATORS), choices=list(GENERATORS))
    parser.add_argument("--quick", action="store_true", help="fewer rows, to see that it runs")
    parser.add_argument("--only", choices=["all"], help="the time of --method all alone")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.only:
        task = load_task("e", args.data)
        known = read_json(args.out) if args.out.is_file() else {}
        report = time_all(task)
        print(report)
        write_json(args.out, {**known, **report})
        return
    report = measure(args.data, args.methods, quick=args.quick)
    print_report(report)
    write_json(args.out, report)


if __name__ == "__main__":
    main()
