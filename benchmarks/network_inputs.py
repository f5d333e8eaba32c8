"""Compare inputs and initial weights of networks on simulated cells, arm by arm.

    python benchmarks/network_inputs.py [--sizes 300 1000] [--seeds 3] [--arms ARM ...]
        [--imagenet NUMBER FILE ...] [--data DIR] [--out FILE]

Every arm is trained on the same cells and scored on the same other ones: a network of scalograms
from random or from ImageNet weights, frozen or not, or with changed sweeps; TraceNet, which takes
the sweeps themselves, from random weights or pretrained without labels, or the rheobase sweep
alone; and boosted trees on the features of the same recordings. Each arm has one fixed setting,
that of the demo, which was found on other cells. A seed draws the training cells of a size where
there are more, the initial weights and the batches. Files of ImageNet weights are given by the
number of the network; arms without their file are left out. A finished arm is not trained again:
the same command goes on, and begins anew on other cells. Intervals resample the scored cells and
the seeds.
"""

import argparse
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from gpu import describe_machine
from sts.base.errors import CellExcluded
from sts.base.files import atomic_path, read_json, write_json
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.cell_results import make_store_entry
from sts.evaluation.scores import interval_of
from sts.networks.backbones import Architecture
from sts.networks.predict import run_network
from sts.networks.settings import TrainSettings
from sts.networks.train import fit
from sts.recordings.simulated.cells import Entry, roster, simulate_cell
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings, PlainSource, TraceSource
from sts.signals.analysis import analyse
from sts.signals.features import measure_features
from sts.signals.select import SelectSettings
from sts.studies.classify.networks.training import DEMO_RATE
from sts.tabular.models import find_kind
from unlabelled import ChangedSource, ensure_pretrained

RESULTS: Final = Path(__file__).resolve().parent / "results" / "network_inputs.json"
# Seeds of the cells; no default of the program draws them.
TRAINING_SEED, SCORED_SEED = 7_100_001, 7_200_001
SCORED_CELLS: Final = 800
SIZE: Final = (32, 192)
# Training cells are drawn from so many, by their number.
POOLS: Final = {300: 1000, 1000: 1000, 3000: 3000}
# Epochs by the number of training cells: few cells need more.
EPOCHS: Final = {300: 12, 1000: 6, 3000: 4}
RESAMPLES: Final = 2000


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to classify the cells."""

    network: int | None = None
    """None: boosted trees on features."""
    given: bool = False
    """Whether it begins with the given weights, of ImageNet or of a pretraining."""
    frozen: bool = False
    changed: bool = False
    """Whether the sweeps of training cells are changed at random in each epoch."""
    one_sweep: bool = False
    """Whether the rheobase sweep alone is shown, in training and in scoring."""
    lengthened: int = 1
    """How many times as many epochs as the usual ones."""


ARMS: Final = {
    "features": Arm(),
    "trace": Arm(network=5, lengthened=2),
    "trace-pretrained": Arm(network=5, given=True, lengthened=2),
    "trace-one": Arm(network=5, lengthened=2, one_sweep=True),
    "resnet-random": Arm(network=1),
    "resnet-imagenet": Arm(network=1, given=True),
    "resnet-frozen": Arm(network=1, given=True, frozen=True, lengthened=3),
    "mobilenet-random": Arm(network=4, lengthened=2),
    "mobilenet-imagenet": Arm(network=4, given=True, lengthened=2),
    "mobilenet-frozen": Arm(network=4, given=True, frozen=True, lengthened=3),
    "resnet-changed": Arm(network=1, changed=True),
}
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


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedSet:
    """Simulated cells: their sweeps, features and classes; the scored ones come last."""

    traces: Floats
    features: Floats
    labels: Ints
    scored: Ints
    """Rows of the cells that no arm is trained on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train and score what is missing, print the tables, write the results."""
    asked = parse_arguments(argv)
    cells = ensure_cells(asked.data, max(POOLS.values()), asked.scored)
    weights = {int(number): file for number, file in asked.imagenet}
    if any(ARMS[name].given and ARMS[name].network == 5 for name in asked.arms):
        weights[5] = str(ensure_pretrained(asked.data, cells.traces[: cells.scored[0]]))
    # The scored cells are the same for any number of training cells.
    digest = hashlib.sha256(cells.traces[cells.scored].tobytes()).hexdigest()
    results = read_json(asked.out) if asked.out.is_file() else {}
    if results.get("digest") != digest:
        results = {"digest": digest, "rows": []}
    results |= {"machine": describe_machine("cpu"), "scored_cells": asked.scored}
    done = {(row["arm"], row["cells"], row["seed"]) for row in results["rows"]}
    for size, seed, name in product(asked.sizes, range(asked.seeds), asked.arms):
        arm = ARMS[name]
        if (name, size, seed) in done or (arm.given and arm.network not in weights):
            continue
        start = time.perf_counter()
        said = run_arm(arm, cells, size, seed, weights)
        row = {
            "arm": name,
            "cells": size,
            "seed": seed,
            "accuracy": balanced_accuracy(cells.labels[cells.scored], said),
            "seconds": time.perf_counter() - start,
            "predictions": "".join(map(str, said.tolist())),
        }
        results["rows"].append(row)
        write_json(asked.out, results)
        print(f"{name:20} {size:5} seed {seed}: {row['accuracy']:.3f}, {row['seconds']:.0f} s")
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
    parser.add_argument("--scored", type=int, default=SCORED_CELLS, help="(default 800)")
    parser.add_argument(
        "--data", type=Path, default=Path("output/network-inputs"), help="folder of the cells"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file of the results")
    return parser.parse_args(argv)


def ensure_cells(folder: Path, training: int, scored: int) -> SimulatedSet:
    """Return the cells; simulate them unless the folder has them."""
    parts = [
        ensure_roster(folder / f"cells-{seed}-{count}.npz", count, seed)
        for count, seed in ((training, TRAINING_SEED), (scored, SCORED_SEED))
    ]
    names = sorted(set(parts[0]["names"]) & set(parts[1]["names"]))
    features = [
        part["features"][:, [part["names"].tolist().index(name) for name in names]]
        for part in parts
    ]
    first = len(parts[0]["labels"])
    return SimulatedSet(
        traces=np.concatenate([part["traces"] for part in parts]),
        features=np.concatenate(features),
        labels=np.concatenate([part["labels"] for part in parts]),
        scored=np.arange(first, first + len(parts[1]["labels"])),
    )


def ensure_roster(path: Path, count: int, seed: int) -> Mapping[str, Any]:
    """Return the cells in a file; simulate and measure them if it does not exist."""
    if not path.is_file():
        entries = roster(count, seed=seed)
        work = partial(simulate_entry, seed=seed)
        found: dict[int, tuple[Floats, dict[str, float]] | None] = {}
        with progress(count, "simulate") as bar:
            for place, made in map_unordered(work, entries, workers=worker_count(None)):
                found[place] = made
                bar.advance()
        kept = [place for place in range(count) if found[place] is not None]
        made = [each for place in kept if (each := found[place]) is not None]
        names = sorted({name for _, values in made for name in values})
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part, part.open("wb") as file:
            np.savez(
                file,
                traces=np.stack([traces for traces, _ in made]),
                features=np.array([[v.get(name, np.nan) for name in names] for _, v in made]),
                names=np.array(names),
                labels=np.array([CLASSES.index(entries[place].label) for place in kept]),
            )
    return dict(np.load(path, allow_pickle=False))


def simulate_entry(entry: Entry, *, seed: int) -> tuple[Floats, dict[str, float]] | None:
    """Return the two sweeps of a cell and the features of its long squares, None if it has none."""
    try:
        analysis = analyse(simulate_cell(entry, seed=seed, protocol="pair").recording)
        traces, _ = make_store_entry(analysis, SelectSettings())
        return traces, dict(measure_features(analysis).values)
    except CellExcluded:
        return None


def run_arm(
    arm: Arm, cells: SimulatedSet, size: int, seed: int, weights: Mapping[int, str]
) -> Ints:
    """Train an arm on the cells of a seed and return the predicted classes of the scored cells."""
    rows = draw_rows(cells.labels[: POOLS[size]], size, seed)
    if arm.network is None:
        kind = find_kind("lightgbm")
        trees = kind.fit(
            cells.features[rows], cells.labels[rows], kind.make_settings({}), seed=seed
        )
        said = trees.predict_proba(cells.features[cells.scored]).argmax(axis=1)
        return np.asarray(said, dtype=np.int64)
    architecture = Architecture(
        number=arm.network,
        freeze="FULL" if arm.frozen else "NONE",
        weights=weights[arm.network] if arm.given else "none",
    )
    images = architecture.images(None if arm.network == 5 else SIZE, one_sweep=arm.one_sweep)
    bank = make_bank(cells.traces, images, rows if arm.changed else None, seed)
    settings = TrainSettings(
        schedule="one_cycle",
        learning_rate=DEMO_RATE[arm.network],
        epochs=EPOCHS[size] * arm.lengthened,
        seed=seed,
    )
    fitted = fit(architecture, bank, cells.labels, train_rows=rows, settings=settings)
    outputs = run_network(fitted.network, bank.like(fitted.images), cells.scored)
    return np.asarray(outputs.logits.argmax(axis=1), dtype=np.int64)


def draw_rows(labels: Ints, size: int, seed: int) -> Ints:
    """Return training rows of a seed, equally many of each class as far as there are."""
    order = np.random.default_rng((seed, size)).permutation(len(labels))
    places = np.empty(len(labels), dtype=np.int64)
    for label in range(len(CLASSES)):
        (members,) = np.nonzero(labels[order] == label)
        places[members] = np.arange(len(members))
    return np.sort(order[np.argsort(places, kind="stable")[:size]])


def make_bank(traces: Floats, images: ImageSettings, changed: Ints | None, seed: int) -> ImageBank:
    """Return the images of all cells; those of the `changed` rows vary from epoch to epoch."""
    if changed is not None:
        source = ChangedSource(traces, images, changed, seed)
        return ImageBank(source, images, budget_bytes=0)
    kind = PlainSource if images.content == "trace" else TraceSource
    return ImageBank(kind(traces, images), images)


def balanced_accuracy(truth: Ints, said: Ints) -> float:
    """Return the mean over classes of the share that is right."""
    return float(np.mean([(said[truth == c] == c).mean() for c in range(len(CLASSES))]))


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
    torch.set_num_threads(1)
    raise SystemExit(main())
