"""Time simulating, deconvolving and training on calcium, and compare precisions.

    python benchmarks/calcium.py [--device auto] [--batch 128] [--steps 20] [--reach 0] [--quick]
                                 [--out DIR]

Prints the results and writes DIR/calcium.json. Each time is compared with that of an alternative
(numpy and scipy; oasis-deconv if it is installed, else a plain loop), measured on a part and scaled
up. Training is timed at full size (102 neurons, 2,048 frames): a step of the generator with its
five critic steps; on a CPU give a small --batch. With --reach N the networks of the demo train N
steps in every precision and are compared with the test stretch.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calcium_peers import TRACES, find_oasis_peer, time_numpy_sampling, time_scipy_set_up, time_work
from sts.base.files import write_json
from sts.base.parallel import worker_count
from sts.calcium.compare import choose_edges, compare_windows
from sts.calcium.dichotomised import dichotomised_gaussian, draw_statistics
from sts.calcium.fluorescence import CalciumModel, OasisSettings, deconvolve, simulate_fluorescence
from sts.calcium.networks import NetworkSettings, sample_windows
from sts.calcium.recording import CalciumRecording
from sts.calcium.train import GanTrainer, GanTrainSettings, train_generator
from sts.calcium.windows import WindowSettings, cut_windows
from sts.learning.device import choose_device, multiply_in
from sts.learning.training import count_parameters
from sts.studies.calcium.ground_truth import describe_truth, make_demo_truth
from sts.studies.calcium.source import SplitRecording
from sts.studies.calcium.train import DEMO_LENGTH, ValidationScore, make_demo_job

NEURONS = 100
FULL = NetworkSettings(neurons=102)


GPU_UNSEEN = "no GPU here: TF32, bfloat16 and compiling are not tested"


def time_once(work: Callable[[], Any]) -> float:
    """Return the seconds that some work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def time_ground_truth(frames: int) -> dict[str, Any]:
    """Time 100 neurons against numpy and scipy, and measure how near they are to their targets."""
    rng = np.random.default_rng(0)
    asked = draw_statistics(NEURONS, rng, rate_hz=24.0, correlation=0.5)
    set_up, set_up_processor, gaussian = time_work(lambda: dichotomised_gaussian(asked))
    sample, sample_processor, spikes = time_work(lambda: gaussian.sample(frames, rng))
    slow, plain = time_scipy_set_up(gaussian), time_numpy_sampling(gaussian, frames, rng)
    return {
        "set_up_s": set_up,
        "set_up_processor_s": set_up_processor,
        "set_up_by_scipy_s": slow,
        "set_up_times_faster": slow / set_up,
        "sample_s": sample,
        "sample_processor_s": sample_processor,
        "sample_by_numpy_s": plain,
        "sample_times_faster": plain / sample,
        **describe_truth(gaussian, spikes),
    }


def time_deconvolution(frames: int) -> dict[str, Any]:
    """Time OASIS on 100 neurons against another implementation, without compiling."""
    rng = np.random.default_rng(0)
    spikes = (rng.random((NEURONS, frames)) < 0.1).astype(np.uint8)
    peer, solve = find_oasis_peer()
    found: dict[str, Any] = {"neurons": NEURONS, "frames": frames, "peer": peer}
    for name, decay in (("first", (0.95,)), ("second", (1.7, -0.712))):
        traces = simulate_fluorescence(spikes, CalciumModel(decay=decay), rng)
        for kind, settings in (
            ("smallest spike", OasisSettings(decay=decay)),
            ("penalty", OasisSettings(decay=decay, smallest=0.0, penalty=0.3)),
        ):
            deconvolve(traces[:2, :1000], settings)
            clock, processor, ours = time_work(lambda t=traces, s=settings: deconvolve(t, s))
            few = traces[:TRACES].astype(np.float64)
            given = (decay, settings.penalty, settings.smallest)
            took, _, theirs = time_work(lambda t=few, g=given: [solve(row, *g) for row in t])
            line = {"s": clock, "processor_s": processor}
            if theirs[0] is not None:
                apart = np.abs(ours.spikes[:TRACES] - np.stack(theirs)).max()
                slower = took * NEURONS / TRACES
                line |= {"peer_s": slower, "times_faster": slower / clock, "apart": float(apart)}
            found[f"{name} order, {kind}"] = line
    return found


def list_precisions(device: torch.device) -> tuple[Any, ...]:
    """Return the precisions of a device."""
    return ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32",)


def time_training(
    device: torch.device,
    *,
    batch: int,
    steps: int,
    networks: NetworkSettings = FULL,
    done: Container[str] = (),
) -> Iterator[dict[str, Any]]:
    """Time steps in every precision, with and without compiling on a GPU, but for those `done`."""
    for precision in list_precisions(device):
        for compiled in (False, True) if device.type == "cuda" else (False,):
            what = f"batch {batch}, {precision}{', compiled' if compiled else ''}"
            if what in done:
                continue
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
            settings = GanTrainSettings(batch=batch, precision=precision, compile=compiled)
            trainer = GanTrainer(networks, settings, device)
            real = torch.rand(batch, networks.neurons, networks.length, device=device)
            random = torch.Generator(device).manual_seed(0)

            def step(trainer: GanTrainer = trainer, real: Any = real, random: Any = random) -> None:
                for _ in range(trainer.settings.critic_steps):
                    trainer.critic_step(real, random)
                float(trainer.generator_step(random))

            with multiply_in(precision, device):
                for _ in range(1 if device.type == "cpu" else 3):
                    step()
                took = time_once(lambda s=step: [s() for _ in range(steps)])
            memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
            yield {
                "what": what,
                "precision": precision,
                "compiled": compiled,
                "batch": batch,
                "steps_per_s": steps / took,
                "memory_gb": memory,
            }


def train_demo(device: torch.device, steps: int) -> Iterator[dict[str, Any]]:
    """Train the networks of the demo in every precision and compare them with the test stretch."""
    truth = make_demo_truth()
    rng = np.random.default_rng(0)
    asked = draw_statistics(truth.neurons, rng, rate_hz=truth.rate_hz, correlation=0.6)
    spikes = dichotomised_gaussian(asked).sample(truth.frames, rng)
    recording = CalciumRecording(
        name="benchmark",
        traces=simulate_fluorescence(spikes, truth.calcium, rng),
        rate_hz=truth.rate_hz,
        neurons=tuple(map(str, range(truth.neurons))),
    )
    cut = cut_windows(recording.traces, truth.rate_hz, WindowSettings(length=DEMO_LENGTH))
    cohort = SplitRecording(recording=recording, cut=cut, oasis=OasisSettings())
    judge, job = ValidationScore(cohort), make_demo_job(Path("benchmark"))
    real = cohort.measure(cohort.windows("test"))
    edges = choose_edges(cohort.measure(cohort.windows("training")))
    for precision in list_precisions(device):
        begin = time.perf_counter()
        fitted = train_generator(
            cut.windows["training"],
            cut.scale,
            sizes=job.sizes.complete(cohort, DEMO_LENGTH),
            settings=replace(job.settings, steps=steps, precision=precision),
            score=judge,
            count=judge.count,
            device=device,
        )
        windows = cut.scale.undo(
            sample_windows(fitted.generator, len(cohort.windows("test")), seed=1)
        )
        found = compare_windows(real, cohort.measure(windows), edges)
        took = time.perf_counter() - begin
        yield {"precision": precision, "seconds": took, **found.divergences}


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return the machine and the versions of libraries."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": worker_count(None),
        "gpu": torch.cuda.is_available() or GPU_UNSEEN,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "system": platform.platform(terse=True),
        "python": sys.version.split()[0],
        **{name: version(name) for name in ("numpy", "numba", "scipy", "torch")},
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--frames", type=int, default=1_000_000, help="of ground truth (1000000)")
    parser.add_argument("--batch", type=int, default=128, help="windows of a batch (128)")
    parser.add_argument("--steps", type=int, default=20, help="of training to time; 0: none (20)")
    parser.add_argument("--reach", type=int, default=0, help="steps of the demo's networks (0)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    args = parser.parse_args()
    if args.quick:
        args.frames, args.batch, args.steps = 20_000, 2, 1
    device = choose_device(args.device)
    trainer = GanTrainer(FULL, GanTrainSettings(), torch.device("cpu"))
    report: dict[str, Any] = {
        "machine": describe_machine(device),
        "ground_truth": time_ground_truth(args.frames),
        "oasis": time_deconvolution(10_000 if args.quick else 100_000),
        "parameters": {
            "generator": count_parameters(trainer.generator),
            "critic": count_parameters(trainer.critic),
        },
    }
    if args.steps:
        report["training"] = list(time_training(device, batch=args.batch, steps=args.steps))
    if args.reach:
        report["reached"] = list(train_demo(device, args.reach))
    print(json.dumps(report, indent=2))
    write_json(args.out / "calcium.json", report)
    print(f"written: {args.out / 'calcium.json'}")


if __name__ == "__main__":
    main()
