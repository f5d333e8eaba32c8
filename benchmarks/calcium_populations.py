"""Judge models of spike counts on recorded populations.

    python benchmarks/calcium_populations.py FILE:SESSION ... [--models history ldns] [--seeds 1]
                                             [--steps 1500] [--out DIR]

Each model is fitted to the training stretch of each session with each seed and compared with its
test stretch, beside a dichotomised Gaussian, two controls and real windows of the training stretch.
Prints means over sessions and seeds with 95 % intervals over the sessions, and writes
DIR/calcium_populations.json. Interrupted, the same command continues.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from sts.base.files import read_json, write_json
from sts.calcium.compare import POPULATION_QUANTITIES
from sts.calcium.latents import LatentSettings
from sts.calcium.population_models import POPULATION_KINDS
from sts.studies.calcium.population import (
    GAUSSIAN,
    POPULATION_FLOOR,
    POPULATION_WINDOWS,
    PopulationJob,
    fit_generator,
    judge_population,
)
from sts.studies.calcium.source import CalciumSource, load_split


def judge_session(session: str, model: str, *, seed: int, steps: int) -> dict[str, Any]:
    """Fit a model to a session and return the means of all differences over the draws."""
    path, _, series = session.partition(":")
    source = CalciumSource(path=path, series=series, windows=POPULATION_WINDOWS)
    cohort = load_split(source)
    job = PopulationJob(
        name="benchmark",
        model=model,  # type: ignore[arg-type]  # argparse has checked it
        source=source,
        settings=LatentSettings(seed=seed, steps=steps),
    )
    begin = time.perf_counter()
    generator, checks = fit_generator(job, cohort, device="cpu")
    took = time.perf_counter() - begin
    judgement = judge_population(
        cohort, {model: lambda count, number: generator.generate(count, seed=number)}, seed=seed + 1
    )
    return {
        "session": f"{Path(path).stem.split('_')[0]} {series}",
        "model": model,
        "seed": seed,
        "neurons": len(cohort.recording.neurons),
        "windows": judgement.windows,
        "fit_s": took,
        "checks": [check.loss for check in checks],
        "rows": {
            row: {name: judgement.mean(row, name) for name in POPULATION_QUANTITIES}
            for row in judgement.differences
        },
    }


def summarise(found: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return mean and half of the 95 % interval over sessions, by row and quantity."""
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        for row, some in each["rows"].items():
            for name, value in some.items():
                values[row, name][each["session"]].append(value)
    summary: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for (row, name), sessions in values.items():
        means = np.array([np.nanmean(some) for some in sessions.values()])
        n = len(means)
        half = student.ppf(0.975, n - 1) * means.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        summary[row][name] = {"mean": float(means.mean()), "half": float(half)}
    return summary


def print_table(summary: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a row for each kind of windows, as Markdown."""
    print(f"| windows | {' | '.join(POPULATION_QUANTITIES.values())} |")
    print("| --- " * (1 + len(POPULATION_QUANTITIES)) + "|")
    for row, some in summary.items():
        cells = [f"{v['mean']:.3g} ± {v['half']:.2g}" for v in some.values()]
        print(f"| {row} | {' | '.join(cells)} |")
    for row in summary:
        if row in (GAUSSIAN, POPULATION_FLOOR):
            continue
        closer = [n for n, v in summary[row].items() if v["mean"] < summary[GAUSSIAN][n]["mean"]]
        print(f"{row}: closer than the {GAUSSIAN} in {', '.join(closer) or 'nothing'}")


def main() -> None:
    """Judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sessions", nargs="+", metavar="FILE:SESSION")
    parser.add_argument(
        "--models", nargs="+", choices=POPULATION_KINDS, default=["history", "ldns"]
    )
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each model (1)")
    parser.add_argument("--steps", type=int, default=1500, help="of the diffusion model (1500)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = args.out / "calcium_populations.json"
    stored = read_json(path) if path.is_file() else {}
    done: dict[str, Any] = dict(stored.get("judged", {})) if isinstance(stored, dict) else {}
    asked = [
        (session, model, seed)
        for seed in range(args.seeds)
        for session in args.sessions
        for model in args.models
    ]
    for session, model, seed in asked:
        key = f"{Path(session).name} {model} {seed} {args.steps}"
        if key not in done:
            done[key] = judge_session(session, model, seed=seed, steps=args.steps)
            write_json(path, {"judged": done, "summary": summarise(list(done.values()))})
    print_table(summarise(list(done.values())))
    print(f"written: {path}")


if __name__ == "__main__":
    main()
