"""Time scalograms against pywt.cwt in one run, and measure their error against the direct sum.

    python benchmarks/scalograms.py [--sweeps 32] [--repeats 7] [--out FILE]

Everything runs in one thread, then again in two processes of one thread at the same time. Times are
medians over repeats in which the contestants take turns, so that a busy machine slows all of them
alike. Times on a CUDA device follow if there is one.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sts.base.files import write_json
from sts.base.parallel import map_unordered
from sts.base.types import Floats
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings, TraceSource
from sts.scalograms.transform import Transform
from sts.scalograms.wavelet import BASELINE_SAMPLES, FREQS_HZ, sum_directly, transform_by_pywt
from sts.signals.resample import RATE_HZ, SAMPLES

RESULTS: Final = Path(__file__).resolve().parent / "results" / "scalograms.json"
SIZES: Final = ((224, 224), (224, 244), (299, 299), (180, 240))
# Contestants that others are compared with: the call of the published code, and pywt's fastest.
PER_SWEEP: Final = "pywt.cwt conv, per sweep"
BATCHED: Final = "pywt.cwt fft, batch"
# Sweeps for pywt, which needs tens of ms for each: a few are enough for a mean.
FEW: Final = 4
CUDA_SWEEPS: Final = 2048
# Cells in a batch of images, as in training.
BATCH: Final = 8


@dataclass(frozen=True)
class Contestant:
    """One way to make scalograms: `run` handles `sweeps` of them."""

    name: str
    sweeps: int
    run: Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Times of one sweep; the best is that of an idle machine."""

    median_ms: float
    best_ms: float


@dataclass(frozen=True)
class Row:
    """A row of the table; ratios are of medians."""

    name: str
    median_ms: float
    best_ms: float
    times_pywt_per_sweep: float | None
    times_pywt_batched: float | None
    error: float | None


def main() -> None:
    """Measure, print the tables, write the results."""
    asked = parse_arguments()
    taken_on = describe_machine()
    torch.set_num_threads(1)
    traces = make_traces(asked.sweeps, seed=0)
    errors = measure_errors(traces[0])
    alone = time_contestants(list_contestants(traces), asked.repeats)
    print_table("one thread", alone, errors)
    together = time_two_processes(asked.sweeps, asked.repeats)
    print_table("two processes of one thread, per sweep of both", together, errors)
    cuda = time_cuda(asked.repeats) if torch.cuda.is_available() else {}
    if cuda:
        print_table(torch.cuda.get_device_name(), cuda, {})
    results = {
        "machine": taken_on,
        "versions": {name: metadata.version(name) for name in ("numpy", "PyWavelets", "torch")},
        "sweeps": asked.sweeps,
        "repeats": asked.repeats,
        "one_thread": rows(alone, errors),
        "two_processes": rows(together, errors),
        "cuda": rows(cuda, {}),
    }
    write_json(asked.out, results)
    print(f"\nwritten to {asked.out}")


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=positive, default=32, help="in a batch (default 32)")
    parser.add_argument("--repeats", type=positive, default=7, help="of each (default 7)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file of the results")
    asked = parser.parse_args()
    # Cells have two sweeps.
    asked.sweeps += asked.sweeps % 2
    return asked


def positive(text: str) -> int:
    """Return a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def make_traces(sweeps: int, *, seed: int) -> Floats:
    """Return traces (sweeps, 4800) float32 of cells that fire during a step."""
    rng = np.random.default_rng(seed)
    time_ms = np.arange(SAMPLES) / RATE_HZ * 1e3
    traces = -70 + rng.normal(scale=0.2, size=(sweeps, SAMPLES))
    traces[:, 400:4400] += 20 * (1 - np.exp(-np.arange(4000) / 60))
    for trace in traces:
        for spike_ms in 105 + np.cumsum(rng.uniform(12, 60, size=30)):
            if spike_ms < 1095:
                trace += 90 * np.exp(-0.5 * ((time_ms - spike_ms) / 0.3) ** 2)
    return traces.astype(np.float32)


def list_contestants(traces: Floats) -> list[Contestant]:
    """Return all ways to make scalograms on a CPU."""
    return [*list_pywt(traces), *list_full(traces), *list_images(traces)]


def list_pywt(traces: Floats) -> Iterable[Contestant]:
    """Yield pywt.cwt by both methods, sweep by sweep and in a batch."""
    # Results of pywt are usually in float64; float32 is faster, with an error of 1e-5.
    exact = traces.astype(np.float64)
    few = min(FEW, len(traces))
    for note, given in (("", exact), (" float32", traces)):
        for method in ("conv", "fft"):

            def each(given: Floats = given, method: str = method) -> None:
                for trace in given[:few]:
                    transform_by_pywt(trace, method=method)

            yield Contestant(f"pywt.cwt {method}, per sweep{note}", few, each)
            batch = given[:few] if method == "conv" else given
            yield Contestant(
                f"pywt.cwt {method}, batch{note}",
                len(batch),
                lambda batch=batch, method=method: transform_by_pywt(batch, method=method),
            )


def list_full(traces: Floats) -> Iterable[Contestant]:
    """Yield ours at full resolution: into one array, and chunk by chunk."""
    sweeps = torch.from_numpy(traces)
    out = torch.empty(len(sweeps), len(FREQS_HZ), SAMPLES)
    for parity in ("direct", "pywt"):
        transform = Transform(parity)
        note = "" if parity == "direct" else ", pywt parity"
        yield Contestant(
            f"full resolution{note}",
            len(sweeps),
            lambda transform=transform: transform(sweeps, out=out),
        )
        yield Contestant(
            f"full resolution in chunks{note}",
            len(sweeps),
            lambda transform=transform: [None for _ in transform.chunks(sweeps)],
        )


def list_images(traces: Floats) -> Iterable[Contestant]:
    """Yield ours: images directly, and once by full resolution."""
    for settings in image_settings():
        bank = make_bank(traces, settings)
        yield Contestant(image_name(settings), len(traces), lambda bank=bank: make_images(bank))
    transform, cells = Transform(), torch.from_numpy(traces).view(-1, 2, SAMPLES)
    full = torch.empty(2, len(FREQS_HZ), SAMPLES)

    def by_full() -> None:
        for cell in cells:
            functional.interpolate(transform(cell, out=full)[None], (224, 224), mode="bilinear")

    yield Contestant("full resolution, then interpolate to 224 x 224", len(traces), by_full)


def make_bank(
    traces: Floats, settings: ImageSettings, device: torch.device | str = "cpu"
) -> ImageBank:
    """Return a bank that computes the images of traces (sweeps, 4800) and keeps none."""
    source = TraceSource(traces.reshape(-1, 2, SAMPLES), settings, device)
    return ImageBank(source, settings, device, budget_bytes=0)


def make_images(bank: ImageBank) -> None:
    """Make all images of a bank, batch by batch, and keep none."""
    rows = np.arange(len(bank))
    for images in bank.batches([rows[at : at + BATCH] for at in rows[::BATCH]]):
        del images


def image_settings() -> Iterable[ImageSettings]:
    """Yield the settings of images of the networks, then two others."""
    for height, width in SIZES:
        yield ImageSettings(height=height, width=width)
    yield ImageSettings(antialias=True)
    yield ImageSettings(width=244, parity="pywt")


def image_name(settings: ImageSettings) -> str:
    """Return a name with the size and with the settings that are not the default."""
    name = f"image {settings.height} x {settings.width}"
    name += ", antialias" if settings.antialias else ""
    return name + (", pywt parity" if settings.parity == "pywt" else "")


def time_contestants(ways: Sequence[Contestant], repeats: int) -> dict[str, Times]:
    """Return the times of a sweep by contestants that take turns."""
    taken: dict[str, list[float]] = {way.name: [] for way in ways}
    for way in ways:
        way.run()
    for _ in range(repeats):
        for way in ways:
            start = time.perf_counter()
            way.run()
            taken[way.name].append((time.perf_counter() - start) / way.sweeps)
    return {
        name: Times(median_ms=1e3 * float(np.median(seconds)), best_ms=1e3 * min(seconds))
        for name, seconds in taken.items()
    }


def time_two_processes(sweeps: int, repeats: int) -> dict[str, Times]:
    """Return the times of a sweep when two processes share the work."""

    def one(seed: int) -> dict[str, Times]:
        torch.set_num_threads(1)
        return time_contestants(list_contestants(make_traces(sweeps, seed=seed)), repeats)

    # Two processes at once: a sweep takes half the mean of their times.
    (_, first), (_, second) = map_unordered(one, (1, 2), workers=2)
    return {
        name: Times(
            median_ms=(first[name].median_ms + second[name].median_ms) / 4,
            best_ms=(first[name].best_ms + second[name].best_ms) / 4,
        )
        for name in first
    }


def time_cuda(repeats: int) -> dict[str, Times]:
    """Return the times of a sweep on CUDA, in a large batch of traces on the device."""
    traces = make_traces(CUDA_SWEEPS, seed=0)
    sweeps, transform = torch.from_numpy(traces).to("cuda"), Transform(device="cuda")
    ways = [
        make_cuda_contestant(
            "full resolution in chunks", lambda: [None for _ in transform.chunks(sweeps)]
        )
    ]
    for settings in image_settings():
        bank = make_bank(traces, settings, "cuda")
        ways.append(make_cuda_contestant(image_name(settings), lambda bank=bank: make_images(bank)))
    return time_contestants(ways, repeats)


def make_cuda_contestant(name: str, make: Callable[[], object]) -> Contestant:
    """Return a contestant that waits until the device is done."""

    def run() -> None:
        make()
        torch.cuda.synchronize()

    return Contestant(name, CUDA_SWEEPS, run)


def measure_errors(trace: Floats) -> dict[str, float]:
    """Return the error of each against the direct sum in float64, as a part of its maximum.

    The trace rests at 0: pywt pads it with zeros, and a step from -70 mV would dominate the result.
    """
    trace = trace - trace[:BASELINE_SAMPLES].mean()
    truth = sum_directly(trace)
    largest = np.abs(truth).max()
    errors = {}
    for note, given in (("", trace.astype(np.float64)), (" float32", trace)):
        for method in ("conv", "fft"):
            error = np.abs(transform_by_pywt(given, method=method) - truth).max() / largest
            for how in ("per sweep", "batch"):
                errors[f"pywt.cwt {method}, {how}{note}"] = float(error)
    one = torch.from_numpy(trace)
    for note, parity in (("", "direct"), (", pywt parity", "pywt")):
        error = np.abs(Transform(parity)(one[None])[0].numpy() - truth).max() / largest
        for how in ("full resolution", "full resolution in chunks"):
            errors[f"{how}{note}"] = float(error)
    for settings in image_settings():
        wanted = resize_scalogram(torch.from_numpy(truth), settings)
        image = make_bank(np.stack([trace, trace]), settings).images([0])[0, 0]
        errors[image_name(settings)] = float((image - wanted).abs().max() / largest)
    return errors


def resize_scalogram(full: Tensor, settings: ImageSettings) -> Tensor:
    """Return a scalogram resized by torch."""
    size = (settings.height, settings.width)
    images = functional.interpolate(
        full[None, None], size, mode="bilinear", antialias=settings.antialias
    )
    return images[0, 0]


def rows(taken: Mapping[str, Times], errors: Mapping[str, float]) -> list[dict[str, object]]:
    """Return the table, one dictionary a contestant."""
    return [asdict(row) for row in table(taken, errors)]


def table(taken: Mapping[str, Times], errors: Mapping[str, float]) -> list[Row]:
    """Return times beside their ratios to pywt, where it ran in the same place."""
    return [
        Row(
            name=name,
            median_ms=one.median_ms,
            best_ms=one.best_ms,
            times_pywt_per_sweep=ratio(taken.get(PER_SWEEP), one),
            times_pywt_batched=ratio(taken.get(BATCHED), one),
            error=errors.get(name),
        )
        for name, one in taken.items()
    ]


def ratio(slow: Times | None, quick: Times) -> float | None:
    """Return how many times faster `quick` is."""
    return None if slow is None else slow.median_ms / quick.median_ms


def print_table(title: str, taken: Mapping[str, Times], errors: Mapping[str, float]) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(f"{'':47}{'ms a sweep':>10}{'best':>9}{'x per sweep':>13}{'x batch':>9}{'error':>9}")
    for row in table(taken, errors):
        per_sweep = "" if row.times_pywt_per_sweep is None else f"{row.times_pywt_per_sweep:.1f}"
        batched = "" if row.times_pywt_batched is None else f"{row.times_pywt_batched:.1f}"
        error = "" if row.error is None else f"{row.error:.1e}"
        print(
            f"{row.name:47}{row.median_ms:10.4f}{row.best_ms:9.4f}"
            f"{per_sweep:>13}{batched:>9}{error:>9}"
        )


def describe_machine() -> dict[str, object]:
    """Return the machine, and its load at the start."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": models[0] if models else platform.processor(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
