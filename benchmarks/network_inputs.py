"""Compare inputs and initial weights of networks on simulated cells, arm by arm.

    python benchmarks/network_inputs.py [--sizes 300 1000] [--seeds 3] [--arms ARM ...]
        [--imagenet NUMBER FILE ...] [--device auto] [--workers 1] [--data DIR] [--out FILE]

Every arm is trained on the same cells and scored on the same other ones: a network of scalograms
from random or from ImageNet weights, frozen or not, or with changed sweeps; TraceNet, which takes
the sweeps themselves, from random weights or pretrained without labels, or the rheobase sweep
alone; and boosted trees on the features of the same recordings. Each arm has one fixed setting,
that of the demo, which was found on other cells. A seed draws the training cells of a size where
there are more, the initial weights and the batches. Files of ImageNet weights are given by the
number of the network; arms without their file are left out. A finished arm is not trained again:
the same command goes on. A file of results is of one set of cells and of weights. Intervals
resample the scored cells and the seeds.
"""

import argparse
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from gpu import describe_machine
from network_arms import (
    ARMS,
    EPOCHS,
    POOLS,
    PRETRAINED_ON,
    SCORED_CELLS,
    Run,
    SimulatedSet,
    draw_rows,
    ensure_cells,
    run_arm,
)
from sts.base.errors import StsError
from sts.base.files import read_json, sha256_of, write_json
from sts.base.parallel import map_unordered
from sts.base.types import CLASSES, Floats, Ints
from sts.evaluation.scores import interval_of
from unlabelled import TRACE, ensure_pretrained

RESULTS: Final = Path(__file__).resolve().parent / "results" / "network_inputs.json"
RESAMPLES: Final = 2000


# Questions, each as two arms: the second is compared with the first.
PAIRS: Final = (
    ("resnet-random", "resnet-imagenet"),
    ("mobilenet-random", "mobilenet-imagenet"),
    ("resnet-imagenet", "resnet-frozen"),
    ("mobilenet-imagenet", "mobilenet-frozen"),
    ("resnet-random", "resnet-changed"),
    ("trace", "trace-pretrained"),
    ("trace", "trace-one"),
    ("trace", "resnet-random"),
    ("trace", "resnet-imagenet"),
    ("features", "resnet-random"),
    ("features", "trace"),
    ("features", "trace-pretrained"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Train and score what is missing, print the tables, write the results."""
    asked = parse_arguments(argv)
    largest = max(3000, *(POOLS[size] for size in asked.sizes))
    cells = ensure_cells(asked.data, largest, asked.scored)
    weights = {int(number): file for number, file in asked.imagenet}
    if any(ARMS[name].given and ARMS[name].network == 5 for name in asked.arms):
        training = cells.traces[: min(PRETRAINED_ON, cells.scored[0])]
        weights[5] = str(ensure_pretrained(asked.data, training))
    runs = list(list_runs(asked, cells, weights, largest))
    results = read_results(asked.out, cells, runs)
    results |= {"machine": describe_machine(asked.device), "scored_cells": asked.scored}
    done = {(row["arm"], row["cells"], row["seed"]) for row in results["rows"]}
    missing = [
        run
        for run in runs
        if run.name in asked.arms and run.weights and (run.name, run.size, run.seed) not in done
    ]
    for _, row in map_unordered(run_arm, missing, workers=asked.workers):
        results["rows"].append(row)
        write_json(asked.out, results)
        shown = f"{row['accuracy']:.3f}, {row['seconds']:.0f} s"
        print(f"{row['arm']:20} {row['cells']:5} seed {row['seed']}: {shown}", flush=True)
    results["rows"].sort(key=lambda row: (row["cells"], row["seed"]))
    truth = cells.labels[cells.scored]
    results |= {"arms": summarise(results["rows"], truth), "pairs": pair(results["rows"], truth)}
    write_json(asked.out, results)
    print_tables(results)
    return 0


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 1000], choices=EPOCHS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument(
        "--imagenet", nargs=2, action="append", default=[], metavar=("NUMBER", "FILE")
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--workers", type=int, default=1, help="trainings at once (default 1)")
    parser.add_argument("--scored", type=int, default=SCORED_CELLS, help="(default 800)")
    parser.add_argument(
        "--data", type=Path, default=Path("output/network-inputs"), help="folder of the cells"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file of the results")
    return parser.parse_args(argv)


def list_runs(
    asked: argparse.Namespace, cells: SimulatedSet, weights: Mapping[int, str], largest: int
) -> Iterator[Run]:
    """Yield the trainings of all arms, asked for or not, with the asked sizes and seeds."""
    for number, file in weights.items():
        if not Path(file).is_file():
            raise StsError(f"no file of weights for network {number} at {file}")
    # The same pretraining gives slightly other weights on another machine: its name stands for it.
    names = {
        number: Path(file).stem if number == TRACE.number else sha256_of(Path(file))[:16]
        for number, file in weights.items()
    }
    for size, seed in product(asked.sizes, range(asked.seeds)):
        digest = cells.digest(draw_rows(cells.labels[: POOLS[size]], size, seed))
        for name, arm in ARMS.items():
            is_known = arm.given and arm.network in weights
            yield Run(
                name=name,
                size=size,
                seed=seed,
                weights=weights.get(arm.network, "") if arm.given else "none",
                key={"digest": digest} | ({"weights": names[arm.network]} if is_known else {}),
                data=asked.data,
                scored=asked.scored,
                largest=largest,
                device=asked.device,
            )


def read_results(path: Path, cells: SimulatedSet, runs: Iterable[Run]) -> dict[str, Any]:
    """Return the results in a file; those of other cells or weights are refused."""
    # The scored cells are the same for any number of training cells.
    digest = hashlib.sha256(cells.traces[cells.scored].tobytes()).hexdigest()
    results: dict[str, Any] = {"digest": digest, "rows": []}
    if path.is_file():
        results = read_json(path)
    if results.get("digest") != digest:
        raise StsError(f"{path} was made with other scored cells: give another --out")
    keys = {(run.name, run.size, run.seed): run.key for run in runs}
    for row in results["rows"]:
        arm, size, seed = row["arm"], row["cells"], row["seed"]
        if not keys.get((arm, size, seed), {}).items() <= row.items():
            raise StsError(
                f"{arm} with {size} cells and seed {seed} is of other cells or weights in {path}: "
                "give another --out"
            )
    return results


def read_right(rows: Sequence[Mapping[str, Any]], arm: str, size: int, truth: Ints) -> Floats:
    """Return (seeds, scored cells), 1 where an arm was right."""
    said = [row["predictions"] for row in rows if (row["arm"], row["cells"]) == (arm, size)]
    return np.array([[int(c) for c in each] for each in said]).reshape(-1, len(truth)) == truth


def measure_interval(values: Floats, truth: Ints) -> dict[str, float]:
    """Return the mean over classes of values (seeds, cells), with its 95 % interval."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(truth == c) for c in range(len(CLASSES))]
    means = []
    for _ in range(RESAMPLES):
        some = values[rng.integers(len(values), size=len(values))].mean(axis=0)
        means.append(np.mean([some[rng.choice(each, len(each))].mean() for each in groups]))
    whole = float(np.mean([values.mean(axis=0)[each].mean() for each in groups]))
    interval = interval_of(whole, np.array(means))
    return {"mean": whole, "low": interval.low, "high": interval.high, "seeds": len(values)}


def summarise(rows: Sequence[Mapping[str, Any]], truth: Ints) -> list[dict[str, Any]]:
    """Return the balanced accuracy of each arm and size, and its seconds."""
    found = []
    for size, arm in product(sorted({row["cells"] for row in rows}), ARMS):
        right = read_right(rows, arm, size, truth)
        if len(right):
            taken = [r["seconds"] for r in rows if (r["arm"], r["cells"]) == (arm, size)]
            about = {"arm": arm, "cells": size, "seconds": float(np.median(taken))}
            found.append(about | measure_interval(right.astype(float), truth))
    return found


def pair(rows: Sequence[Mapping[str, Any]], truth: Ints) -> list[dict[str, Any]]:
    """Return the difference of balanced accuracy of each pair of arms, on the same seeds."""
    found = []
    for size, (one, other) in product(sorted({row["cells"] for row in rows}), PAIRS):
        first, second = (read_right(rows, arm, size, truth) for arm in (one, other))
        if 0 < len(first) == len(second):
            change = second.astype(float) - first.astype(float)
            found.append(
                {"arm": other, "minus": one, "cells": size} | measure_interval(change, truth)
            )
    return found


def print_tables(results: Mapping[str, Any]) -> None:
    """Print the arms and the differences."""
    for row in results["arms"]:
        print(
            f"{row['arm']:20} {row['cells']:5} {row['mean']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}] {row['seeds']} seeds, {row['seconds']:.0f} s"
        )
    for row in results["pairs"]:
        print(
            f"{row['arm']} - {row['minus']}, {row['cells']}: {row['mean']:+.3f} "
            f"[{row['low']:+.3f}, {row['high']:+.3f}]"
        )


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except StsError as error:
        raise SystemExit(f"error: {error}") from error
