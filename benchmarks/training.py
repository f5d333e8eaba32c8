"""Measure how fast the networks train, and what their images cost, in one run.

    python benchmarks/training.py [--networks 1 2 3 4] [--batches 32] [--size 32x384]
        [--device auto] [--out FILE]

First the data path (everything but forward and backward) against the way of the published code:
float64 scalograms in one .npy file a cell, loaded every epoch and resized on the CPU. The files are
read just after they were written, from memory and not from a disk, in favour of that way. Our
images are kept where they fit, as in training on a CPU, or computed for the batch at hand, as on a
GPU. Then, for each network, images a second through a whole epoch, and the part of it that images
take. Times are medians over repeats that take turns.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sts.base.files import write_json
from sts.base.types import Ints
from sts.cli.flags import size
from sts.datasets.store import SweepStore
from sts.learning.device import choose_device
from sts.learning.training import TrainingProgress
from sts.networks.backbones import PUBLISHED_NUMBERS, Architecture, make_network, place_network
from sts.networks.settings import TrainSettings, cut_batches, epoch_batches
from sts.networks.train import Learner
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings
from sts.scalograms.transform import compute_scalograms
from sts.signals.resample import RATE_HZ, SAMPLES

RESULTS: Final = Path(__file__).resolve().parent / "results" / "training.json"
# Batches of an epoch: on a GPU enough that waiting for its end does not matter.
STEPS: Final = {"cpu": 2, "cuda": 32}
# Epochs of images alone, one after the other.
LOOKS: Final = 8
NONE: Final = np.zeros(0, dtype=np.int64)
# Cells whose scalograms are written for the way of the published code; 14 MB each.
BY_HAND: Final = 32
# Cells whose images are kept: more than fit into a processor's cache, as those of a study.
KEPT: Final = 16 * BY_HAND
# The published search: trials, folds, and the cells that a fold trains on and validates with.
TRIALS, FOLDS, TRAINED, VALIDATED = 50, 3, 2385, 597
# Epochs a fold, of at most 100, until early stopping; validation takes a third of training.
EPOCHS: Final = 40
FORWARD_SHARE: Final = 1 / 3


@dataclass(frozen=True)
class Speed:
    """How fast a network trains."""

    network: str
    side: int
    """Height of the images."""
    width: int
    batch: int
    images_per_s: float
    """With images kept on a CPU, or computed for the batch at hand on a GPU."""
    images_share: float
    """Part of an epoch that images take."""
    computed_share: float
    """The same, if all images were computed for the batch at hand."""
    network_ms: float
    """Forward, backward and step, for one image."""
    search_h: float
    """Hours of the published search on this device."""


@dataclass(frozen=True)
class DataPath:
    """Time of the image of a cell in each way, without the network."""

    side: int
    by_hand_ms: float
    computed_ms: float
    kept_ms: float
    times_computed: float
    times_kept: float


def main() -> None:
    """Measure, print the tables, write the results."""
    asked = parse_arguments()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    device = choose_device(asked.device)
    paths = [data_path(side, device, asked.repeats) for side in (224, 299)]
    print(f"data path, ms a cell, on {device}")
    for path in paths:
        print(
            f"  {path.side} pixels: by hand {path.by_hand_ms:.2f}, computed {path.computed_ms:.3f} "
            f"({path.times_computed:.0f} times), kept {path.kept_ms:.3f} "
            f"({path.times_kept:.0f} times)"
        )
    speeds = []
    print(f"training on {device}, {torch.get_num_threads()} threads")
    for number in asked.networks:
        for batch in asked.batches:
            speeds.append(speed(number, batch, device, asked))
            print(f"  {in_words(speeds[-1], paths)}", flush=True)
    results = {
        "machine": describe_machine(device),
        "versions": {name: metadata.version(name) for name in ("numpy", "torch", "torchvision")},
        "threads": torch.get_num_threads(),
        "repeats": asked.repeats,
        "data_path": [asdict(path) for path in paths],
        "training": [asdict(one) | {"times_by_hand": epoch_ratio(one, paths)} for one in speeds],
    }
    write_json(asked.out, results)
    print(f"\nwritten to {asked.out}")


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, nargs="+", default=PUBLISHED_NUMBERS)
    parser.add_argument("--batches", type=int, nargs="+", default=[64], help="images (default 64)")
    parser.add_argument("--size", type=size, help="pixels, or 32x384 (default: the network's own)")
    parser.add_argument("--repeats", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--threads", type=int, default=0, help="on a CPU (default: torch's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default auto)")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file of the results")
    return parser.parse_args()


def make_store(cells: int) -> SweepStore:
    """Return cells that fire during a step."""
    rng = np.random.default_rng(0)
    traces = (-70 + rng.normal(scale=0.2, size=(cells, 2, SAMPLES))).astype(np.float32)
    traces[..., 400:4400] += 20
    spikes = rng.random(traces[..., 400:4400].shape) < 20 / RATE_HZ
    traces[..., 400:4400] += np.where(spikes, np.float32(60), np.float32(0))
    names = np.array([f"{cell}" for cell in range(cells)], dtype=np.str_)
    return SweepStore(
        traces=traces,
        specimen_id=names,
        donor_id=names,
        label=names,
        dataset=names,
        claimed_id=np.full(cells, ""),
        rheobase_pa=np.ones(cells),
        step_pa=np.ones(cells),
        onset_s=np.ones(cells),
    )


def speed(number: int, batch: int, device: torch.device, asked: argparse.Namespace) -> Speed:
    """Return how fast a network trains."""
    architecture = Architecture(number=number, weights="none")
    settings = TrainSettings(batch=batch, compile=asked.compile)
    cells = batch * STEPS.get(device.type, STEPS["cpu"])
    images = architecture.images(asked.size)
    store, rows = make_store(cells), np.arange(cells)
    own, computed = (
        ImageBank(store, images, device, budget_bytes=budget).standardise(rows)
        for budget in (None, 0)
    )
    side = architecture.backbone.auxiliary_from or 0
    network = place_network(make_network(architecture, auxiliary=images.height >= side > 0), device)
    labels = rows % architecture.classes
    learner = Learner(network, own, labels, np.ones(4), settings)
    batches = epoch_batches(rows, settings, 0)
    epoch_s, own_s, computed_s = taking_turns(
        [
            lambda: learner.run_epoch(TrainingProgress(), rows, NONE),
            *(lambda bank=bank: look_at(bank, batches * LOOKS) for bank in (own, computed)),
        ],
        asked.repeats,
        device,
    )
    one_s, own_s, computed_s = np.array([epoch_s, own_s / LOOKS, computed_s / LOOKS]) / cells
    trained = TRIALS * FOLDS * EPOCHS * (TRAINED + FORWARD_SHARE * VALIDATED)
    return Speed(
        network=architecture.backbone.name,
        side=images.height,
        width=images.width,
        batch=batch,
        images_per_s=1 / one_s,
        images_share=own_s / one_s,
        computed_share=computed_s / (one_s - own_s + computed_s),
        network_ms=1e3 * (one_s - own_s),
        search_h=trained * one_s / 3600,
    )


def look_at(bank: ImageBank, batches: list[Ints]) -> None:
    """Make the images of an epoch and keep none."""
    for images in bank.batches(batches):
        del images


def data_path(side: int, device: torch.device, repeats: int) -> DataPath:
    """Return the time of images in each way."""
    store, rows = make_store(KEPT), np.random.default_rng(1).permutation(KEPT)
    batches = cut_batches(rows, BY_HAND)
    settings = ImageSettings(height=side, width=side)
    banks = [
        ImageBank(store, settings, device, budget_bytes=budget).standardise(rows)
        for budget in (0, 2**40)
    ]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"cell_{name}.npy" for name in store.specimen_id[:BY_HAND]]
        for path, traces in zip(paths, store.traces, strict=False):
            scalograms = compute_scalograms(traces)
            np.save(path, scalograms.transpose(1, 2, 0).astype(np.float64))
        by_hand_s, made_s, kept_s = taking_turns(
            [
                lambda: by_hand(paths, side, device),
                *(lambda bank=bank: look_at(bank, batches) for bank in banks),
            ],
            repeats,
            device,
        )
    by_hand_s, made_s, kept_s = by_hand_s / BY_HAND, made_s / KEPT, kept_s / KEPT
    return DataPath(
        side=side,
        by_hand_ms=1e3 * by_hand_s,
        computed_ms=1e3 * made_s,
        kept_ms=1e3 * kept_s,
        times_computed=by_hand_s / made_s,
        times_kept=by_hand_s / kept_s,
    )


def by_hand(paths: list[Path], side: int, device: torch.device) -> Tensor:
    """Return a batch as the published code makes it."""
    whole = np.array([np.load(path) for path in paths])
    data = torch.from_numpy(whole.astype(np.float32)).permute(0, 3, 1, 2)
    resized = functional.interpolate(data, size=(side, side), mode="bilinear", align_corners=False)
    return torch.cat((resized, resized[:, :1]), dim=1).to(device)


def taking_turns(
    ways: list[Callable[[], object]], repeats: int, device: torch.device
) -> list[float]:
    """Return the median seconds of each way; a first turn is not counted."""
    taken: list[list[float]] = [[] for _ in ways]
    for turn in range(repeats + 1):
        for way, seconds in zip(ways, taken, strict=True):
            start = time.perf_counter()
            way()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                seconds.append(time.perf_counter() - start)
    return [float(np.median(seconds)) for seconds in taken]


def epoch_ratio(one: Speed, paths: list[DataPath]) -> float:
    """Return how many times longer an epoch takes with images of the published code."""
    # Most of that is reading, whatever the size of the images.
    nearest = min(paths, key=lambda path: abs(path.side - one.side))
    return 1e-3 * (nearest.by_hand_ms + one.network_ms) * one.images_per_s


def in_words(one: Speed, paths: list[DataPath]) -> str:
    """Return a line of the table."""
    return (
        f"{one.network:12} {one.side} x {one.width} pixels, batch {one.batch}: "
        f"{one.images_per_s:.0f} images/s, images {one.images_share:.2%} of an epoch "
        f"({one.computed_share:.1%} where computed), "
        f"epoch {epoch_ratio(one, paths):.2f} times faster than by hand, "
        f"published search {one.search_h:.1f} h"
    )


def describe_machine(device: torch.device) -> Mapping[str, object]:
    """Return the machine, and its load."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": models[0] if models else platform.processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
