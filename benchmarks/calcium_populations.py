"""Judge models of spike counts on recorded populations.

    python benchmarks/calcium_populations.py FILE[:SESSION] ... [--models history ldns] [--seeds 1]
                                             [--steps N ...] [--latents N]
                                             [--channels N] [--out DIR] [--name NAME]
    python benchmarks/calcium_populations.py --costs [--models history ldns] [--out DIR]

Each model is fitted to the training stretch of each session with each seed and compared with its
test stretch, beside a dichotomised Gaussian, two controls and real windows of the training stretch.
Prints means over sessions and seeds with 95 % intervals over the sessions, and writes
DIR/NAME.json. Interrupted, the same command continues. With several numbers of steps, means are
those of the last one, and a table has what each cost. With --costs alone, this table has the
trainings in all files of results of DIR. The GAN has the sizes and the training of the demo;
`no-PART` leaves out one of its built-in parts, `published` all, `only-PART` all but one. The spikes
of a GAN, and the real ones it is compared with, are those that OASIS finds. Fluorescence is read
with the flags of `calcium_gan.py train`. These flags, and the sizes of ldns, are the same for all
models of a file.
"""

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from sts.base.errors import StsError
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
from sts.cli.calcium_source import add_source, make_source
from sts.studies.calcium.evaluate import REAL_FLOOR, draw_controls
from sts.studies.calcium.population import (
    DRAWS,
    GAUSSIAN,
    POPULATION_FLOOR,
    POPULATION_WINDOWS,
    PopulationJob,
    fit_generator,
    judge_population,
)
from sts.studies.calcium.source import CalciumSource, SplitRecording, load_split
from sts.studies.calcium.train import ValidationScore, make_demo_job

# Settings of networks and of training that differ from those of the demo.
_Changes = tuple[dict[str, Any], dict[str, Any]]
# Built-in part -> settings without it.
PARTS: dict[str, _Changes] = {
    "frame-noise": ({"frame_noise": False}, {}),
    "spike-ending": ({"ending": "sigmoid"}, {}),
    "moments": ({}, {"moments": 0.0}),
    "nearest": ({"upsampling": "transposed"}, {}),
    "differences": ({"differences": False}, {}),
}


def leave_out(parts: Iterable[str], **more: Any) -> _Changes:
    """Return the settings without some parts, and with more settings of the networks."""
    networks, training = dict(more), {}
    for part in parts:
        networks |= PARTS[part][0]
        training |= PARTS[part][1]
    return networks, training


GANS: dict[str, _Changes] = {
    "gan": leave_out(()),
    **{f"no-{part}": leave_out((part,)) for part in PARTS},
    "published": leave_out(PARTS),
    # The published shift of at most 10 frames was made for windows of 2,048.
    "published-shuffle": leave_out(PARTS, shuffle=10),
    **{f"only-{part}": leave_out(PARTS.keys() - {part}) for part in PARTS},
}

# Models that are fitted without steps.
UNTRAINED = ("gaussian", "history")
# Sizes of the networks of latent diffusion that can be given.
SIZES = ("latents", "channels")
# End of the names of controls whose spikes are found in traces, as those of a GAN.
FOUND = ", found spikes"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A model of a session."""

    draw: Callable[[int, int], Ints]
    """Returns the spikes of a number of windows, for a seed."""
    losses: list[float]
    traces: Callable[[int, int], Floats] | None = None
    """Returns traces in the same way; None for a model of counts."""


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
    """Train a GAN with the settings of the demo, but for those that its name changes."""
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

    return Fitted(
        draw=lambda count, number: cohort.detect(make(count, number)),
        losses=[check.score for check in fitted.checks],
        traces=make,
    )


def judge_traces(
    cohort: SplitRecording, model: str, draw: Callable[[int, int], Floats], *, seed: int
) -> dict[str, dict[str, float]]:
    """Compare traces of a GAN with the test stretch; means over draws.

    Real windows and controls, which are the same for all GANs, are compared with the one that has
    all parts.
    """
    real, training = cohort.windows("test"), cohort.windows("training")
    truth, edges = cohort.measure(real), choose_edges(cohort.measure(training))
    rng = np.random.default_rng(seed)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(DRAWS):
        drawn = {model: draw(len(real), seed + number)}
        if model == "gan":
            drawn |= draw_controls(training, len(real), rng)
        for row, windows in drawn.items():
            compared = compare_windows(truth, cohort.measure(windows), edges)
            values = to_dict(compared)
            found[row].append(
                {"score": score_likeness(compared), **values.pop("divergences"), **values}
            )
    return {
        row: {name: float(np.mean([each[name] for each in some])) for name in some[0]}
        for row, some in found.items()
    }


def judge_session(source: CalciumSource, model: str, **given: Any) -> dict[str, Any]:
    """Fit a model to a session and return the means of all differences over the draws."""
    torch.set_num_threads(1)
    cohort, seed = load_split(source), given["seed"]
    before, begin = measure_peak_mb(), time.process_time()
    fitted = (fit_traces if model in GANS else fit_counts)(source, cohort, model, **given)
    took, peak = time.process_time() - begin, measure_peak_mb()
    kind = FOUND if model in GANS else ""
    judgement = judge_population(
        cohort, {model: fitted.draw}, seed=seed + 1, detected=model in GANS
    )
    return {
        "session": f"{Path(source.path).stem.split('_')[0]} {source.series}".strip(),
        "model": model,
        "seed": seed,
        "neurons": len(cohort.recording.neurons),
        "windows": judgement.windows,
        "fit_processor_s": took,
        "peak_mb": peak,
        "peak_mb_before": before,
        "losses": fitted.losses,
        "likeness": judge_traces(cohort, model, fitted.traces, seed=seed + 1)
        if fitted.traces
        else {},
        "copying": to_dict(judgement.copying[model]),
        "rows": {
            row if row == model else f"{row}{kind}": {
                name: judgement.mean(row, name) for name in POPULATION_QUANTITIES
            }
            for row in judgement.differences
        },
    }


def judge_alone(source: CalciumSource, model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a session in a process of its own, whose peak of memory is that of this model."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(judge_session, source, model, **given).result()


def measure_peak_mb() -> float:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
    """Print the differences of the traces of GANs from the test stretch, as Markdown.

    Below: a GAN minus the one with all parts, in the same session and with the same seed. Intervals
    are those of 95 % over sessions and seeds.
    """
    rows: dict[str, dict[tuple[str, int], dict[str, float]]] = defaultdict(dict)
    for each in found:
        for row, some in each["likeness"].items():
            rows[row][each["session"], each["seed"]] = some
    if "gan" not in rows:
        return
    whole = rows["gan"]
    names = list(next(iter(whole.values())))
    for title, paired in (("traces", False), ("minus gan", True)):
        print(f"\n| {title} | n | {' | '.join(names)} |\n{'| --- ' * (2 + len(names))}|")
        for row, runs in rows.items():
            keys = [key for key in runs if key in whole or not paired]
            cells = []
            for name in names:
                less = [whole[key][name] if paired else 0.0 for key in keys]
                mean, half = _find_interval(np.array([runs[key][name] for key in keys]) - less)
                cells.append(f"{mean:.3g} ± {half:.2g}")
            print(f"| {row} | {len(keys)} | {' | '.join(cells)} |")


def print_costs(done: Mapping[str, dict[str, Any]]) -> None:
    """Print what trainings cost and reach, as Markdown: from the least to the most of n runs.

    Memory is what a training adds to libraries and recording, if it was measured. Scores, beside
    those of real windows of another stretch, and the last column are means; the latter is the
    geometric mean of all differences of spikes, each over that of the floor.
    """
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for key, each in done.items():
        # demo-11 and demo-12 are recordings of one kind, and so are the sessions of a mouse.
        kind = each["session"].split()[0].split("-")[0]
        steps = "none" if each["model"] in UNTRAINED else key.split()[-1]
        rows[each["model"], kind, steps.rjust(6)].append(each)
    names = ("model", "recording", "neurons", "steps", "n", "processor s", "steps a second", "MB")
    print(f"\n| {' | '.join(names)} | score | times the floor |\n{'| --- ' * (len(names) + 2)}|")
    for (model, kind, steps), some in sorted(rows.items()):
        took = [each["fit_processor_s"] for each in some]
        cells = [
            _show_range([each["neurons"] for each in some]),
            steps.strip(),
            str(len(some)),
            _show_range(took),
            f"{int(steps) / np.mean(took):.2g}" if steps.strip().isdigit() else "",
            _show_range([e["peak_mb"] - e["peak_mb_before"] for e in some if "peak_mb" in e]),
            " / ".join(
                f"{np.mean(scores):.2f}"
                for row in (model, REAL_FLOOR)
                if (scores := [e["likeness"][row]["score"] for e in some if row in e["likeness"]])
            ),
            f"{np.mean([measure_times_floor(each['rows'], model) for each in some]):.3g}",
        ]
        print(f"| {model} | {kind} | {' | '.join(cells)} |")


def _show_range(values: Sequence[float]) -> str:
    """Return the smallest and the largest value, "" without any."""
    shown = [f"{value:.0f}" if value >= 10 else f"{value:.1f}" for value in sorted(values)]
    return " to ".join(dict.fromkeys(shown[:1] + shown[-1:]))


def read_judged(folder: Path, models: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the trainings of models in all files of results of a folder."""
    stored = [read_json(path) for path in sorted(folder.glob("calcium*.json"))]
    found = [each["judged"] for each in stored if isinstance(each, dict) and "judged" in each]
    return {k: each for some in found for k, each in some.items() if each["model"] in models}


def measure_times_floor(rows: Mapping[str, Mapping[str, float]], model: str) -> float:
    """Return the geometric mean of a model's differences over those of real windows."""
    both = (rows[model], rows[f"{POPULATION_FLOOR}{FOUND if model in GANS else ''}"])
    # A file has null where nothing could be measured.
    errors, floor = (np.array(list(each.values()), dtype=np.float64) for each in both)
    return float(np.exp(np.nanmean(np.log(errors / floor))))


def describe_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what all runs of a file have in common; names of runs do not contain it."""
    source = to_dict(make_source(args, Path(), POPULATION_WINDOWS))
    del source["path"], source["series"]
    return {**source, **{name: getattr(args, name) for name in SIZES}}


def main() -> None:
    """Judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sessions", nargs="*", metavar="FILE:SESSION")
    text = "print the costs of the models in all files of results, and train none"
    parser.add_argument("--costs", action="store_true", help=text)
    parser.add_argument(
        "--models", nargs="+", choices=(*POPULATION_KINDS, *GANS), default=["history", "ldns"]
    )
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each model (1)")
    text = "of a training (default: that of the model)"
    parser.add_argument("--steps", type=int, nargs="+", default=[None], help=text)
    for name in SIZES:
        text = "of ldns (default: that of the model)"
        parser.add_argument(f"--{name}", type=int, metavar="N", help=text)
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    parser.add_argument("--name", default="calcium_populations", help="of the file of results")
    add_source(parser)
    args = parser.parse_args()
    if args.costs == bool(args.sessions):
        parser.error("give sessions, or --costs")
    if args.costs:
        print_costs(read_judged(args.out, args.models))
        return
    path = args.out / f"{args.name}.json"
    stored = read_json(path) if path.is_file() else {}
    settings = describe_settings(args)
    if stored.get("settings", settings) != settings:
        raise StsError(f"{path} was made with other sizes or flags of recordings: give a --name")
    done: dict[str, Any] = dict(stored.get("judged", {}))
    last = args.steps[-1]
    for seed, session, model, steps in product(
        range(args.seeds), args.sessions, args.models, args.steps
    ):
        if steps != last and model in UNTRAINED:
            continue
        file, _, args.series = session.partition(":")
        sizes = {name: getattr(args, name) for name in SIZES if model == "ldns"}
        asked = {"seed": seed, **sizes, "steps": steps}
        given = {name: value for name, value in asked.items() if value is not None}
        words = map(str, given.values() if steps else (*given.values(), steps))
        key = f"{Path(session).name} {model} {' '.join(words)}"
        if key not in done:
            source = make_source(args, Path(file), POPULATION_WINDOWS)
            done[key] = judge_alone(source, model, given)
            shown = [each for key, each in done.items() if key.split()[-1] == str(last)]
            write_json(path, {"settings": settings, "judged": done, "summary": summarise(shown)})
    shown = [each for key, each in done.items() if key.split()[-1] == str(last)]
    print_table(summarise(shown))
    print_likeness(shown)
    print_costs(done)
    print(f"written: {path}")


if __name__ == "__main__":
    try:
        main()
    except StsError as error:
        raise SystemExit(f"error: {error}") from error
