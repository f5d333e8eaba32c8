"""How fast calcium is made up, deconvolved and trained on, and what each precision reaches.

    python benchmarks/calcium.py [--device auto] [--batch 128] [--steps 20] [--reach 0] [--out DIR]

Prints tables and writes DIR/calcium.json. Training is timed at full size (102 neurons, 2,048
frames), a step of the generator with its five critic steps; on a CPU give a small --batch. With
--reach N the demo's networks train N steps in every precision and are judged by the test stretch.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sts.base.files import write_json
from sts.base.parallel import worker_count
from sts.calcium.compare import compare, edges_of
from sts.calcium.deconvolve import OasisSettings, deconvolve
from sts.calcium.dichotomised import dichotomised_gaussian
from sts.calcium.fluorescence import CalciumModel, fluorescence
from sts.calcium.generate import sample
from sts.calcium.networks import NetworkSettings, parameter_count
from sts.calcium.recording import Recording
from sts.calcium.rivals import PRECISIONS, Rivals, TrainSettings
from sts.calcium.statistics import draw_statistics
from sts.calcium.train import multiplying, train
from sts.calcium.windows import WindowSettings, cut_windows
from sts.scalograms.device import choose_device
from sts.studies.calcium.demo import LENGTH, demo_job, demo_truth
from sts.studies.calcium.ground_truth import describe
from sts.studies.calcium.source import Cohort, Judge

NEURONS = 100
FULL = NetworkSettings(neurons=102)


def seconds(work: Callable[[], Any]) -> float:
    """Return how long some work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def ground_truth(frames: int) -> dict[str, Any]:
    """Time 100 neurons and say how near they come to what was asked."""
    rng = np.random.default_rng(0)
    asked = draw_statistics(NEURONS, rng, rate_hz=24.0, correlation=0.5)
    times = {"set_up_s": seconds(lambda: dichotomised_gaussian(asked))}
    gaussian = dichotomised_gaussian(asked)
    begin = time.perf_counter()
    spikes = gaussian.sample(frames, rng)
    times["sample_s"] = time.perf_counter() - begin
    return {**times, **describe(gaussian, spikes)}


def deconvolution() -> dict[str, float]:
    """Time OASIS on 100 neurons and 100,000 frames, compiling left out."""
    rng = np.random.default_rng(0)
    spikes = (rng.random((NEURONS, 100_000)) < 0.1).astype(np.uint8)
    found = {}
    for name, decay in (("first", (0.95,)), ("second", (1.7, -0.712))):
        traces = fluorescence(spikes, CalciumModel(decay=decay), rng)
        for kind, settings in (
            ("smallest spike", OasisSettings(decay=decay)),
            ("penalty", OasisSettings(decay=decay, smallest=0.0, penalty=0.3)),
        ):
            deconvolve(traces[:2, :1000], settings)
            found[f"{name} order, {kind}"] = seconds(lambda t=traces, s=settings: deconvolve(t, s))
    return found


def precisions(device: torch.device) -> tuple[Any, ...]:
    """Return what a device can multiply in here."""
    return PRECISIONS if device.type == "cuda" else PRECISIONS[:1]


def training(device: torch.device, *, batch: int, steps: int) -> Iterator[dict[str, Any]]:
    """Time steps at full size, in every precision, with and without compiling on a GPU."""
    for precision in precisions(device):
        for compiled in (False, True) if device.type == "cuda" else (False,):
            settings = TrainSettings(batch=batch, precision=precision, compile=compiled)
            rivals = Rivals(FULL, settings, device)
            real = torch.rand(batch, FULL.neurons, FULL.length, device=device)
            random = torch.Generator(device).manual_seed(0)

            def step(rivals: Rivals = rivals, real: Any = real, random: Any = random) -> None:
                for _ in range(rivals.settings.critic_steps):
                    rivals.critic_step(real, random)
                float(rivals.generator_step(random))

            with multiplying(settings, device):
                for _ in range(1 if device.type == "cpu" else 3):
                    step()
                took = seconds(lambda s=step: [s() for _ in range(steps)])
            memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
            yield {
                "precision": precision,
                "compiled": compiled,
                "batch": batch,
                "steps_per_s": steps / took,
                "memory_gb": memory,
            }


def reached(device: torch.device, steps: int) -> Iterator[dict[str, Any]]:
    """Train the demo's networks in every precision and judge them by the test stretch."""
    truth = demo_truth()
    rng = np.random.default_rng(0)
    asked = draw_statistics(truth.neurons, rng, rate_hz=truth.rate_hz, correlation=0.6)
    spikes = dichotomised_gaussian(asked).sample(truth.frames, rng)
    recording = Recording(
        name="benchmark",
        traces=fluorescence(spikes, truth.calcium, rng),
        rate_hz=truth.rate_hz,
        neurons=tuple(map(str, range(truth.neurons))),
    )
    cut = cut_windows(recording.traces, truth.rate_hz, WindowSettings(length=LENGTH))
    cohort = Cohort(recording=recording, cut=cut, oasis=OasisSettings())
    judge, job = Judge(cohort), demo_job(Path("benchmark"))
    real = cohort.measured(cohort.windows("test"))
    edges = edges_of(cohort.measured(cohort.windows("training")))
    for precision in precisions(device):
        begin = time.perf_counter()
        fitted = train(
            cut.windows["training"],
            cut.scale,
            sizes=job.sizes.of(cohort, LENGTH),
            settings=replace(job.settings, steps=steps, precision=precision),
            score=judge,
            count=judge.count,
            device=device,
        )
        windows = cut.scale.undo(sample(fitted.generator, len(cohort.windows("test")), seed=1))
        found = compare(real, cohort.measured(windows), edges)
        took = time.perf_counter() - begin
        yield {"precision": precision, "seconds": took, **found.divergences}


def machine(device: torch.device) -> dict[str, Any]:
    """Return where and with what the figures were taken."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": worker_count(None),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "system": platform.platform(terse=True),
        "python": sys.version.split()[0],
        **{name: version(name) for name in ("numpy", "numba", "scipy", "torch")},
    }


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--frames", type=int, default=1_000_000, help="of ground truth (1000000)")
    parser.add_argument("--batch", type=int, default=128, help="windows of a batch (128)")
    parser.add_argument("--steps", type=int, default=20, help="of training to time; 0: none (20)")
    parser.add_argument("--reach", type=int, default=0, help="steps of the demo's networks (0)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    args = parser.parse_args()
    device = choose_device(args.device)
    rivals = Rivals(FULL, TrainSettings(), torch.device("cpu"))
    report: dict[str, Any] = {
        "machine": machine(device),
        "ground_truth": ground_truth(args.frames),
        "oasis_s": deconvolution(),
        "parameters": {
            "generator": parameter_count(rivals.generator),
            "critic": parameter_count(rivals.critic),
        },
    }
    if args.steps:
        report["training"] = list(training(device, batch=args.batch, steps=args.steps))
    if args.reach:
        report["reached"] = list(reached(device, args.reach))
    print(json.dumps(report, indent=2))
    write_json(args.out / "calcium.json", report)
    print(f"written: {args.out / 'calcium.json'}")


if __name__ == "__main__":
    main()
