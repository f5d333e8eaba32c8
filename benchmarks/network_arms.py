"""The arms of `network_inputs.py`, the cells they are trained on, and the training of one."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from sts.base.errors import CellExcluded
from sts.base.files import atomic_path
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.cell_results import make_store_entry
from sts.learning.device import choose_device
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
from unlabelled import ChangedSource

# Seeds of the cells; no default of the program draws them.
TRAINING_SEED, SCORED_SEED = 7_100_001, 7_200_001
SCORED_CELLS: Final = 800
SIZE: Final = (32, 192)
# Training cells are drawn from so many, by their number.
POOLS: Final = {300: 1000, 1000: 1000, 3000: 3000, 10_000: 10_000}
# Epochs by the number of training cells: few cells need more.
EPOCHS: Final = {300: 12, 1000: 6, 3000: 4, 10_000: 4}
# Without labels TraceNet is pretrained on so many training cells at most.
PRETRAINED_ON: Final = 3000


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


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedSet:
    """Simulated cells: their sweeps, features and classes; the scored ones come last."""

    traces: Floats
    features: Floats
    labels: Ints
    scored: Ints
    """Rows of the cells that no arm is trained on."""

    def digest(self, rows: Ints) -> str:
        """Return a digest of some training cells and of the scored ones."""
        both = np.concatenate([rows, self.scored])
        digest = hashlib.sha256()
        for values in (self.traces, self.features, self.labels):
            digest.update(np.ascontiguousarray(values[both]).data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, with all that a process of its own needs."""

    name: str
    size: int
    seed: int
    weights: str
    """A file, "none" for random weights, "" if the file of the arm is not given."""
    key: Mapping[str, str]
    """Digests of the cells and the weights, which the row of the run has."""
    data: Path
    scored: int
    largest: int
    device: str


@cache
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


def run_arm(run: Run) -> dict[str, Any]:
    """Train an arm on the cells of a seed and return how it classifies the scored cells."""
    torch.set_num_threads(1)
    cells = ensure_cells(run.data, run.largest, run.scored)
    rows = draw_rows(cells.labels[: POOLS[run.size]], run.size, run.seed)
    start = time.perf_counter()
    said = classify(ARMS[run.name], run, cells, rows)
    return {
        "arm": run.name,
        "cells": run.size,
        "seed": run.seed,
        **run.key,
        "accuracy": balanced_accuracy(cells.labels[cells.scored], said),
        "seconds": time.perf_counter() - start,
        "predictions": "".join(map(str, said.tolist())),
    }


def classify(arm: Arm, run: Run, cells: SimulatedSet, rows: Ints) -> Ints:
    """Train an arm on some cells and return the predicted classes of the scored cells."""
    if arm.network is None:
        kind = find_kind("lightgbm")
        trees = kind.fit(
            cells.features[rows], cells.labels[rows], kind.make_settings({}), seed=run.seed
        )
        said = trees.predict_proba(cells.features[cells.scored]).argmax(axis=1)
        return np.asarray(said, dtype=np.int64)
    architecture = Architecture(
        number=arm.network, freeze="FULL" if arm.frozen else "NONE", weights=run.weights
    )
    images = architecture.images(None if arm.network == 5 else SIZE, one_sweep=arm.one_sweep)
    device = choose_device(run.device)
    bank = make_bank(cells.traces, images, rows if arm.changed else None, run.seed, device)
    settings = TrainSettings(
        schedule="one_cycle",
        learning_rate=DEMO_RATE[arm.network],
        epochs=EPOCHS[run.size] * arm.lengthened,
        seed=run.seed,
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


def make_bank(
    traces: Floats, images: ImageSettings, changed: Ints | None, seed: int, device: torch.device
) -> ImageBank:
    """Return the images of all cells; those of the `changed` rows vary from epoch to epoch."""
    if changed is not None:
        source = ChangedSource(traces, images, changed, seed, device)
        return ImageBank(source, images, device, budget_bytes=0)
    kind = PlainSource if images.content == "trace" else TraceSource
    return ImageBank(kind(traces, images, device), images, device)


def balanced_accuracy(truth: Ints, said: Ints) -> float:
    """Return the mean over classes of the share that is right."""
    return float(np.mean([(said[truth == c] == c).mean() for c in range(len(CLASSES))]))
