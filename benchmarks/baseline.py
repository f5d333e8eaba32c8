"""Measure the search of the baseline against scikit-optimize's, in one run.

    python benchmarks/baseline.py --data DATA [--trials 50] [--slow-trials 2] [--out FILE]

DATA holds the published tables of features, labels and splits. Every row searches the published
space on the features of the paper with three folds and balanced accuracy: ours on all cores,
BayesSearchCV with one thread a model and folds side by side, and BayesSearchCV as the
published code calls it, where every model takes all cores while others do too. The last runs a few
trials only and is extrapolated in a straight line, in its favour: its proposals get slower with
every trial. Times are wall clock, so the machine should be idle; its load is among the results.
Where scikit-optimize is missing, its rows say so, and its fits are timed without the search.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

from sts.base.files import write_json
from sts.base.parallel import worker_count
from sts.base.workspace import Workspace
from sts.search.trials import SearchResult
from sts.studies.classify.tables.cells import Source
from sts.studies.classify.tables.settings import make_table_job
from sts.studies.classify.tables.training import TableExperiment, prepare_table
from sts.studies.classify.training import search_settings

RESULTS: Final = Path(__file__).resolve().parent / "results" / "baseline.json"
FOLDS: Final = 3
OURS: Final = "ours"
ONE_THREAD: Final = "BayesSearchCV, one thread a model"
PUBLISHED: Final = "as published"
BARE: Final = "fits alone, one thread a model"
TARGETS: Final = {ONE_THREAD: 2.0, PUBLISHED: 20.0}
# The published space in the form of scikit-optimize.
SPACE: Final[dict[str, Any]] = {
    "num_leaves": (10, 100),
    "max_depth": (3, 12),
    "learning_rate": (1e-3, 0.2, "log-uniform"),
    "n_estimators": (50, 300),
    "min_child_samples": (5, 30),
    "subsample": (0.5, 1.0, "uniform"),
    "colsample_bytree": (0.5, 1.0, "uniform"),
    "reg_alpha": (0.0, 1.0, "uniform"),
    "reg_lambda": (0.0, 1.0, "uniform"),
}
# The command, ended at its first fold.
FIRST_TRIAL: Final = """
import os, sys
from sts.studies.classify.tables.training import TableExperiment
def ended(*_):
    os._exit(0)
TableExperiment.score = ended
from sts.cli.baseline import main
main(sys.argv[1:])
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The time of one way to search."""

    name: str
    trials: int
    """Trials that were run."""
    seconds: float | None = None
    """Time of all wanted trials, extrapolated where fewer were run."""
    measured_s: float | None = None
    best: float | None = None
    """Mean balanced accuracy of the best trial over the folds."""
    missing: str = ""


def search_with_ours(experiment: TableExperiment) -> SearchResult:
    """Search in a temporary workspace."""
    with tempfile.TemporaryDirectory() as folder:
        return search_settings(Workspace(Path(folder)), experiment)


def time_ours(experiment: TableExperiment) -> tuple[Row, SearchResult]:
    """Return the time of our search, and its result."""
    begin_s = time.perf_counter()
    found = search_with_ours(experiment)
    seconds = time.perf_counter() - begin_s
    row = Row(
        name=OURS,
        trials=len(found.trials),
        seconds=seconds,
        measured_s=seconds,
        best=found.value,
    )
    return row, found


def time_theirs(
    experiment: TableExperiment, name: str, *, trials: int, wanted: int, threads: int | None
) -> Row:
    """Return the time of scikit-optimize's search, or why it cannot run."""
    try:
        from skopt import BayesSearchCV
    except ImportError as error:
        return Row(name=name, trials=0, missing=f"scikit-optimize cannot be imported: {error}")
    X, y = read_training_cells(experiment)
    search = BayesSearchCV(
        estimator=LGBMClassifier(random_state=0, verbose=-1, n_jobs=threads),
        search_spaces=SPACE,
        scoring="balanced_accuracy",
        n_iter=trials,
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0),
        random_state=0,
        n_jobs=-1,
        refit=False,
    )
    begin_s = time.perf_counter()
    try:
        search.fit(X, y)
    except (TypeError, ValueError, AttributeError) as error:
        return Row(name=name, trials=0, missing=f"scikit-optimize fails: {error}")
    seconds = time.perf_counter() - begin_s
    return Row(
        name=name,
        trials=trials,
        seconds=seconds * wanted / trials,
        measured_s=seconds,
        best=float(search.best_score_),
    )


def time_fits(experiment: TableExperiment, found: SearchResult) -> Row:
    """Return the time of the fits of a search by scikit-learn, without proposals."""
    X, y = read_training_cells(experiment)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    begin_s = time.perf_counter()
    best = 0.0
    for trial in found.trials:
        model = LGBMClassifier(random_state=0, verbose=-1, n_jobs=1, **trial.settings)
        scores = cross_val_score(model, X, y, cv=folds, scoring="balanced_accuracy", n_jobs=-1)
        best = max(best, float(np.mean(scores)))
    seconds = time.perf_counter() - begin_s
    return Row(name=BARE, trials=len(found.trials), seconds=seconds, measured_s=seconds, best=best)


def read_training_cells(experiment: TableExperiment) -> tuple[np.ndarray, np.ndarray]:
    """Return features and classes of the training cells."""
    rows = experiment.cohort.train_rows
    return experiment.cohort.cells.X[rows], experiment.cohort.truth[rows]


def time_to_first_trial(data: Path) -> float:
    """Return the seconds from the start of a fresh process to its first fold."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--root", folder, "--data", str(data), "-q"]
        begin_s = time.perf_counter()
        command = [sys.executable, "-c", FIRST_TRIAL, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin_s


def describe_machine() -> dict[str, Any]:
    """Return the machine, and its load."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": worker_count(None),
        "load": os.getloadavg()[0],
    }


def version_of(package: str) -> str | None:
    """Return the installed release of a package, None without one."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def measure(data: Path, *, trials: int, slow_trials: int) -> dict[str, Any]:
    """Return all rows and their ratios to our search."""
    where = describe_machine()
    first_s = time_to_first_trial(data)
    source = Source(data=data)
    job = make_table_job(published=True, trials=trials, folds=FOLDS)
    experiment = prepare_table(job, source=source)
    print(f"from the start to the first trial {first_s:.1f} s", flush=True)
    first, found = time_ours(experiment)
    rows: list[dict[str, Any]] = []

    def keep(row: Row) -> None:
        ratio = None if row.seconds is None else row.seconds / (first.seconds or 1)
        rows.append(asdict(row) | {"times_ours": ratio})
        print_row(rows[-1], trials)

    keep(first)
    keep(time_theirs(experiment, ONE_THREAD, trials=trials, wanted=trials, threads=1))
    keep(time_theirs(experiment, PUBLISHED, trials=slow_trials, wanted=trials, threads=None))
    if rows[-1]["missing"]:
        keep(time_fits(experiment, found))
    return {
        "machine": where,
        "versions": {
            name: version_of(name)
            for name in ("lightgbm", "optuna", "scikit-learn", "scikit-optimize")
        },
        "cells": len(experiment.cohort.train_rows),
        "features": len(experiment.cohort.cells.names),
        "trials": trials,
        "folds": FOLDS,
        "pruned": sum(trial.state == "pruned" for trial in found.trials),
        "first_trial_s": first_s,
        "rows": rows,
    }


def print_row(row: dict[str, Any], trials: int) -> None:
    """Print a row, and whether its target is met."""
    if row["missing"]:
        print(f"{row['name']:36} not measured: {row['missing']}", flush=True)
        return
    run = row["trials"]
    told = "" if run == trials else f", from {run} trials in {row['measured_s']:.1f} s"
    if row["name"] in TARGETS:
        met = "met" if row["times_ours"] >= TARGETS[row["name"]] else "missed"
        told += f" (wanted {TARGETS[row['name']]:g} times: {met})"
    print(
        f"{row['name']:36} {row['seconds']:8.1f} s  {row['times_ours']:6.2f} times ours  "
        f"best {row['best']:.4f}{told}",
        flush=True,
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--slow-trials", type=int, default=2, help="of the published way")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    report = measure(args.data, trials=args.trials, slow_trials=args.slow_trials)
    write_json(args.out, report)


if __name__ == "__main__":
    main()
