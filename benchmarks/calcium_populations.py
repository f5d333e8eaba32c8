"""Judge models of spike counts on recorded populations.

    python benchmarks/calcium_populations.py FILE[:SESSION] ... [--models history ldns] [--seeds 1]
                                             [--steps N] [--out DIR] [--name NAME]

Each model is fitted to the training stretch of each session with each seed and compared with its
test stretch, beside a dichotomised Gaussian, two controls and real windows of the training stretch.
Prints means over sessions and seeds with 95 % intervals over the sessions, and writes
DIR/NAME.json. Interrupted, the same command continues. The GAN has the sizes of the demo; other
names of GANs leave out one of its parts, and `published` leaves out all. The spikes of a GAN, and
the real ones it is compared with, are those that OASIS finds.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from sts.base.files import read_json, write_json
from sts.base.settings import to_dict
from sts.base.types import Floats, Ints
from sts.calcium.compare import (
    POPULATION_QUANTITIES,
    choose_edges,
    compare_windows,
    score_likeness,
)
from sts.calcium.latents import LatentSettings
from sts.calcium.networks import sample_windows
from sts.calcium.population_models import POPULATION_KINDS
from sts.calcium.train import train_generator
from sts.studies.calcium.population import (
    GAUSSIAN,
    POPULATION_WINDOWS,
    PopulationJob,
    fit_generator,
    judge_population,
)
from sts.studies.calcium.source import CalciumSource, SplitRecording, load_split
from sts.studies.calcium.train import ValidationScore, make_demo_job

# Name of a GAN -> settings of its networks and of its training that differ from those of the demo.
GANS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gan": ({}, {}),
    "no-frame-noise": ({"frame_noise": False}, {}),
    "no-spike-ending": ({"ending": "sigmoid"}, {}),
    "no-moments": ({}, {"moments": 0.0}),
    "no-nearest": ({"upsampling": "transposed"}, {}),
    "published": (
        {"frame_noise": False, "ending": "sigmoid", "upsampling": "transposed"},
        {"moments": 0.0},
    ),
}


# End of the names of controls whose spikes are found in traces, as those of a GAN.
FOUND = ", found spikes"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A model of a session."""

    draw: Callable[[int, int], Ints]
    """Returns the spikes of a number of windows, for a seed."""
    losses: list[float]
    likeness: dict[str, float] = field(default_factory=dict)
    """Differences of the traces of a GAN from the test stretch."""


def fit_counts(source: CalciumSource, cohort: SplitRecording, model: str, **given: Any) -> Fitted:
    """Fit a model of spike counts."""
    job = PopulationJob(
        name="benchmark",
        model=model,  # type: ignore[arg-type]  # argparse has checked it
        source=source,
        settings=LatentSettings(**given),
    )
    generator, checks = fit_generator(job, cohort, device="cpu")
    return Fitted(
        draw=lambda count, number: generator.generate(count, seed=number),
        losses=[check.loss for check in checks],
    )


def fit_traces(source: CalciumSource, cohort: SplitRecording, model: str, **given: Any) -> Fitted:
    """Train a GAN with the settings of the demo, and compare its traces with the test stretch."""
    changed, settings = GANS[model]
    demo = make_demo_job(Path(source.path))
    score, scale = ValidationScore(cohort), cohort.cut.scale
    fitted = train_generator(
        cohort.cut.windows["training"],
        scale,
        sizes=replace(demo.sizes, **changed).complete(cohort, source.windows.length),
        settings=replace(demo.settings, **settings, **given),
        score=score,
        count=score.count,
    )

    def make(count: int, number: int) -> Floats:
        return scale.undo(sample_windows(fitted.generator, count, seed=number))

    real = cohort.windows("test")
    edges = choose_edges(cohort.measure(cohort.windows("training")))
    compared = compare_windows(
        cohort.measure(real), cohort.measure(make(len(real), given["seed"] + 1)), edges
    )
    values = to_dict(compared)
    return Fitted(
        draw=lambda count, number: cohort.detect(make(count, number)),
        losses=[check.score for check in fitted.checks],
        likeness={"score": score_likeness(compared), **values.pop("divergences"), **values},
    )


def judge_session(session: str, model: str, *, seed: int, steps: int | None) -> dict[str, Any]:
    """Fit a model to a session and return the means of all differences over the draws."""
    path, _, series = session.partition(":")
    source = CalciumSource(path=path, series=series, windows=POPULATION_WINDOWS)
    cohort = load_split(source)
    given = {"seed": seed} | ({"steps": steps} if steps else {})
    begin = time.process_time()
    fitted = (fit_traces if model in GANS else fit_counts)(source, cohort, model, **given)
    took = time.process_time() - begin
    kind = FOUND if model in GANS else ""
    judgement = judge_population(
        cohort, {model: fitted.draw}, seed=seed + 1, detected=model in GANS
    )
    return {
        "session": f"{Path(path).stem.split('_')[0]} {series}",
        "model": model,
        "seed": seed,
        "neurons": len(cohort.recording.neurons),
        "windows": judgement.windows,
        "fit_processor_s": took,
        "losses": fitted.losses,
        "likeness": fitted.likeness,
        "copying": to_dict(judgement.copying[model]),
        "rows": {
            row if row == model else f"{row}{kind}": {
                name: judgement.mean(row, name) for name in POPULATION_QUANTITIES
            }
            for row in judgement.differences
        },
    }


def summarise(found: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return means and halves of 95 % intervals over sessions, by row and quantity.

    Values of a session are means over its seeds. Differences from the dichotomised Gaussian are
    paired by session; `closer` counts the sessions in which a row is closer to the test stretch.
    """
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        for row, some in each["rows"].items():
            for name, value in some.items():
                # A file has null where nothing could be measured.
                values[row, name][each["session"]].append(np.nan if value is None else value)
    means = {
        key: {session: float(np.mean(some)) for session, some in sessions.items()}
        for key, sessions in values.items()
    }
    summary: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for (row, name), sessions in means.items():
        rival = means[_find_gaussian(row), name]
        apart = np.array([value - rival[session] for session, value in sessions.items()])
        mean, half = _find_interval(np.array(list(sessions.values())))
        less, less_half = _find_interval(apart)
        summary[row][name] = {
            "mean": mean,
            "half": half,
            "from_gaussian": less,
            "from_gaussian_half": less_half,
            "closer": int((apart < 0).sum()),
            "sessions": len(apart),
        }
    return summary


def _find_gaussian(row: str) -> str:
    """Return the row of the Gaussian with spikes of the same origin."""
    return f"{GAUSSIAN}{FOUND}" if row in GANS or row.endswith(FOUND) else GAUSSIAN


def _find_interval(values: Floats) -> tuple[float, float]:
    """Return the mean and half of its 95 % interval; NaN for one value."""
    n = len(values)
    half = student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return float(values.mean()), float(half)


def print_table(summary: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a row for each kind of windows, as Markdown."""
    print(f"| windows | {' | '.join(POPULATION_QUANTITIES.values())} |")
    print("| --- " * (1 + len(POPULATION_QUANTITIES)) + "|")
    for row, some in summary.items():
        cells = [f"{v['mean']:.3g} ± {v['half']:.2g}" for v in some.values()]
        print(f"| {row} | {' | '.join(cells)} |")
    for row, some in summary.items():
        if row == _find_gaussian(row):
            continue
        print(f"{row}, difference from the {GAUSSIAN} in the same session:")
        for name, v in some.items():
            apart = f"{v['from_gaussian']:+.3g} ± {v['from_gaussian_half']:.2g}"
            print(f"  {name}: {apart}, closer in {v['closer']} of {v['sessions']} sessions")


def print_likeness(found: list[dict[str, Any]]) -> None:
    """Print the differences of the traces of GANs from the test stretch, as Markdown."""
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for each in found:
        if each["likeness"]:
            rows[each["model"]].append(each["likeness"])
    for number, (model, some) in enumerate(rows.items()):
        if number == 0:
            print(f"| traces | {' | '.join(some[0])} |")
            print("| --- " * (1 + len(some[0])) + "|")
        means = (np.mean([each[name] for each in some]) for name in some[0])
        print(f"| {model} | {' | '.join(f'{mean:.3g}' for mean in means)} |")


def main() -> None:
    """Judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sessions", nargs="+", metavar="FILE:SESSION")
    parser.add_argument(
        "--models", nargs="+", choices=(*POPULATION_KINDS, *GANS), default=["history", "ldns"]
    )
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each model (1)")
    parser.add_argument("--steps", type=int, help="of a training (default: that of the model)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    parser.add_argument("--name", default="calcium_populations", help="of the file of results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = args.out / f"{args.name}.json"
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
    print_likeness(list(done.values()))
    print(f"written: {path}")


if __name__ == "__main__":
    main()
