"""The parts of `benchmarks/gpu.py`: each yields the rows that are still missing."""

import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch

from calcium import FULL, time_training
from scalograms import image_name, image_settings, make_bank, make_images
from sts.augment.contract import make_generator
from sts.base.types import Floats, Precision
from sts.calcium.networks import NetworkSettings
from sts.learning.training import TrainingProgress
from sts.networks.backbones import (
    BACKBONES,
    PUBLISHED_NUMBERS,
    Architecture,
    make_network,
    place_network,
)
from sts.networks.predict import run_network
from sts.networks.settings import TrainSettings
from sts.networks.train import Learner, fit
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings
from sts.scalograms.transform import Transform
from sts.signals.resample import SAMPLES
from training import FOLDS, TRAINED, TRIALS, VALIDATED, make_store

Row = dict[str, Any]

REPOSITORY: Final = Path(__file__).resolve().parents[1]
NONE: Final = np.zeros(0, dtype=np.int64)
# Cells of the last batch, smaller than the others.
ODD: Final = 5
DEEP: Final = ("gan", "vae", "flow", "ddpm")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of what is measured; on a CPU small ones, only to see that the benchmark runs."""

    cells: int
    """Cells for scalograms, as many as in the published study."""
    batch: int
    steps: int
    """Batches an epoch."""
    side: int | None
    """Pixels of images; None: the network's own."""
    trained: int
    validated: int
    scored: int
    epochs: int
    """Epochs of a fold, about as many as before early stopping ends a published one."""
    calcium: NetworkSettings
    calcium_batch: int
    calcium_steps: int
    rows: int
    features: int
    made: int
    """Synthetic rows of a generator."""
    loop: dict[str, Any]
    """Settings of the training of generators that differ from the tuned ones."""


SIZES: Final = {
    "cuda": Sizes(
        cells=5590,
        batch=64,
        steps=32,
        side=None,
        trained=TRAINED,
        validated=VALIDATED,
        scored=(TRAINED + VALIDATED) // 2,
        epochs=40,
        calcium=FULL,
        calcium_batch=128,
        calcium_steps=20,
        rows=1485,
        features=45,
        made=5000,
        loop={},
    ),
    "cpu": Sizes(
        cells=16,
        batch=8,
        steps=2,
        side=96,
        trained=24,
        validated=8,
        scored=16,
        epochs=1,
        calcium=NetworkSettings(neurons=8, length=256),
        calcium_batch=4,
        calcium_steps=1,
        rows=300,
        features=10,
        made=200,
        loop={"steps": 50},
    ),
}


def cuda_tests(device: torch.device, done: Container[str]) -> Iterator[Row]:
    """Run all tests marked `cuda` and count how they ended."""
    if "tests marked cuda" in done:
        return
    with TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", f"--junitxml={report}"]
        begin = time.perf_counter()
        subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr, check=False)
        seconds = time.perf_counter() - begin
        suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    failed = [
        f"{case.get('classname')}.{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    yield {
        "what": "tests marked cuda",
        "value": total - skipped - len(failed),
        "unit": f"passed, {len(failed)} failed, {skipped} skipped",
        "failed": failed,
        "seconds": seconds,
    }


def scalograms(device: torch.device, done: Container[str]) -> Iterator[Row]:
    """Time scalograms of sweeps on the device, at full and at image size."""
    sizes = SIZES[device.type]
    traces = make_store(sizes.cells).traces
    sweeps = torch.from_numpy(traces).to(device)

    def whole(transform: Transform) -> None:
        for _ in transform.chunks(sweeps.view(-1, SAMPLES)):
            pass

    ways: dict[str, Callable[[], Callable[[], object]]] = {
        "full resolution": lambda: partial(whole, Transform(device=device))
    }
    for settings in image_settings():
        ways[image_name(settings)] = partial(_images_of, traces, settings, device)
    for what, prepare in ways.items():
        if what in done:
            continue
        _forget_peak(device)
        run = prepare()
        run()
        seconds = _median_s(run, device)
        yield _row(what, 2 * len(sweeps) / seconds, "sweeps/s", device)


def networks(device: torch.device, done: Container[str]) -> Iterator[Row]:
    """Time an epoch of each network, and what a fit needs before the first one."""
    ways: list[tuple[Precision, bool]] = [("float32", False), ("tf32", False), ("bfloat16", False)]
    # Compiling takes longest and comes last, so that the others are measured if time runs out.
    for precision, compiled in [*ways, ("bfloat16", True)]:
        for number in PUBLISHED_NUMBERS:
            what = f"{BACKBONES[number].name}, {precision}{', compiled' if compiled else ''}"
            if what not in done:
                yield _trained(what, number, precision, compiled, device)


def _trained(
    what: str, number: int, precision: Precision, compiled: bool, device: torch.device
) -> Row:
    sizes = SIZES[device.type]
    architecture = Architecture(number=number, weights="none")
    settings = TrainSettings(batch=sizes.batch, precision=precision, compile=compiled)
    images = architecture.images(sizes.side)
    rows = np.arange(sizes.batch * sizes.steps + ODD)
    store = make_store(len(rows))
    _forget_peak(device)
    begin = time.perf_counter()
    bank = ImageBank(store, images, device).standardise(rows)
    auxiliary = architecture.backbone.auxiliary_from
    network = make_network(
        architecture, auxiliary=auxiliary is not None and images.height >= auxiliary
    )
    labels = rows % architecture.classes
    learner = Learner(place_network(network, device), bank, labels, np.ones(4), settings)

    def epoch() -> None:
        learner.run_epoch(TrainingProgress(), rows, NONE)
        _wait(device)

    epoch()
    first_s = time.perf_counter() - begin
    epoch_s = _median_s(epoch, device)
    row = _row(what, len(rows) / epoch_s, "images/s", device)
    return row | {
        "side": images.height,
        "batch": sizes.batch,
        "set_up_s": first_s - epoch_s,
        "cells": len(rows),
    }


def folds(device: torch.device, done: Container[str]) -> Iterator[Row]:
    """Train one whole fold of the published protocol; estimate the time of the whole search."""
    sizes = SIZES[device.type]
    count = sizes.trained + sizes.validated + sizes.scored
    for number in (1, 2):
        architecture = Architecture(number=number, weights="none")
        what = f"{architecture.backbone.name}, a fold of {sizes.epochs} epochs"
        if what in done:
            continue
        store, labels = make_store(count), np.arange(count) % architecture.classes
        rows = np.random.default_rng(0).permutation(count)
        trained, validated, scored = np.split(
            rows, [sizes.trained, sizes.trained + sizes.validated]
        )
        _forget_peak(device)
        begin = time.perf_counter()
        bank = ImageBank(store, architecture.images(sizes.side), device)
        fitted = fit(
            architecture,
            bank,
            labels,
            train_rows=trained,
            validation_rows=validated,
            settings=TrainSettings(batch=sizes.batch, epochs=sizes.epochs, patience=sizes.epochs),
        )
        run_network(fitted.network, bank.like(fitted.images), scored)
        _wait(device)
        seconds = time.perf_counter() - begin
        yield _row(what, seconds, "s", device) | {
            "published_search_h": TRIALS * FOLDS * seconds / 3600 if device.type == "cuda" else None
        }


def calcium(device: torch.device, done: Container[str]) -> Iterator[Row]:
    """Time a step of the calcium generator with its critic steps, in every precision."""
    sizes = SIZES[device.type]
    for row in time_training(
        device,
        batch=sizes.calcium_batch,
        steps=sizes.calcium_steps,
        networks=sizes.calcium,
        done=done,
    ):
        yield _row(row["what"], row["steps_per_s"], "steps/s", device) | row


def generators(device: torch.device, done: Container[str]) -> Iterator[Row]:
    """Time fitting and sampling of each deep generator on a table of the size of E."""
    sizes = SIZES[device.type]
    rng = np.random.default_rng(0)
    y = np.arange(sizes.rows) % 17
    X = rng.normal(size=(sizes.rows, sizes.features)) + y[:, None]
    for name in DEEP:
        if name in done:
            continue
        _forget_peak(device)
        begin = time.perf_counter()
        plain = make_generator(name, device=device.type)
        generator = replace(plain, settings=_shortened(plain.settings, sizes.loop))  # type: ignore[attr-defined, type-var]
        fitted = generator.fit(X, y, np.random.default_rng(1))
        _wait(device)
        fit_s = time.perf_counter() - begin
        begin = time.perf_counter()
        fitted.sample(0, sizes.made, np.random.default_rng(2))
        drawn_s = time.perf_counter() - begin
        yield _row(name, fit_s, "s to fit", device) | {"rows_per_s": sizes.made / drawn_s}


PARTS: Final[dict[str, tuple[float, Callable[[torch.device, Container[str]], Iterator[Row]]]]] = {
    # The share of the whole time that a part may take.
    "tests": (0.3, cuda_tests),
    "scalograms": (0.1, scalograms),
    "networks": (0.5, networks),
    "fold": (0.3, folds),
    "calcium": (0.25, calcium),
    "generators": (0.25, generators),
}


def _images_of(
    traces: Floats, settings: ImageSettings, device: torch.device
) -> Callable[[], object]:
    return partial(make_images, make_bank(traces, settings, device))


def _shortened(settings: Any, loop: dict[str, Any]) -> Any:
    return replace(settings, loop=replace(settings.loop, **loop))


def _row(what: str, value: float, unit: str, device: torch.device) -> Row:
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
    return {"what": what, "value": value, "unit": unit, "memory_gb": memory}


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _median_s(run: Callable[[], object], device: torch.device, repeats: int = 3) -> float:
    """Return the median seconds of a few runs, waiting for the end of each."""
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        _wait(device)
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken))
