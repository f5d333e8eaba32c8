"""Compare rows with given features with the real cells that have them, and with all rows.

    python benchmarks/given.py --data DATA [--task e] [--given tau=17:] [--methods smote ddpm ...]

DATA holds e-type.csv and mee-type.csv, or the tables of --task sts. On three folds, 500 rows of
each class with the given features, and 500 of all rows, are compared with the held-out cells that
have these features. Training cells that have them are the floor. Printed are means, over classes
with eight such cells on both sides and over all other features, of the largest gap between
cumulative distributions (KS) and of the distance of means in standard deviations.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.augment.evaluate import PreparedItem
from sts.augment.grid import Grid, Item, divide_neurons
from sts.augment.measures import kolmogorov_smirnov, mean_gaps
from sts.augment.tasks import Task, load_task
from sts.base.errors import StsError
from sts.base.types import Floats

ROWS: Final = 500
FEWEST: Final = 8
SIDES: Final = ("real, training", "given", "all rows")


def compare_rows(task: Task, method: str) -> Iterator[tuple[Floats, Floats]]:
    """Yield KS and distance of means (3,) of the sides, for each fold and class."""
    for division in divide_neurons(task, "cv", folds=3, repeats=1, seed=0):
        item = Item(
            method=method,
            task=task.name,
            division=division,
            neurons=task.neurons,
            grid=Grid(),
            condition=task.condition,
        )
        given, free = PreparedItem(item), PreparedItem(replace(item, condition=None))
        if task.condition is None:
            raise ValueError("a task with given features is needed")
        space, met = given.view.space, task.condition.met
        other = [
            place
            for place, name in enumerate(space.names[: len(space.kept)])
            if name not in task.condition.ranges
        ]
        deviation = np.maximum(given.view.native[:, other].std(axis=0), 1e-9)
        for label in range(len(task.neurons.classes)):
            fit = met[division.fit] & (given.fit.y == label)
            scored = met[division.scored] & (given.scored.y == label)
            if min(fit.sum(), scored.sum()) < FEWEST:
                continue
            rows = [each.generate({label: ROWS}, "given")[0] for each in (given, free)]
            if not len(rows[0]):
                continue
            sides = [each[:, other] / deviation for each in (given.view.native[fit], *rows)]
            real = given.view.native_scored[scored][:, other] / deviation
            yield (
                np.array([kolmogorov_smirnov(side, real).mean() for side in sides]),
                np.array([mean_gaps(side, real).mean() for side in sides]),
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--task", default="e")
    parser.add_argument("--given", nargs="+", default=["tau=17:"])
    parser.add_argument("--methods", nargs="+", default=["smote", "copula", "flow", "ddpm"])
    args = parser.parse_args()
    task = load_task(args.task, args.data, given=args.given)
    for method in args.methods:
        found = list(compare_rows(task, method))
        if not found:
            raise StsError(
                f"no class has {FEWEST} cells on both sides with what is given: widen it"
            )
        values = np.array(found)
        nearer = int((values[:, 0, 1] < values[:, 0, 2]).sum())
        ks, means = values.mean(axis=0)
        for side, gap, distance in zip(SIDES, ks, means, strict=True):
            print(f"{method:8} {side:15} KS {gap:.3f}  means {distance:.3f}")
        print(f"{method:8} given is nearer by KS in {nearer} of {len(values)} folds and classes")


if __name__ == "__main__":
    try:
        main()
    except StsError as error:
        raise SystemExit(f"error: {error}") from error
