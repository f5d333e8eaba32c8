"""Measure whether generated spikes help to decode the running direction of a mouse.

    python benchmarks/calcium_decoder.py FILE:SESSION ... [--models history] [--seeds 2]
                                         [--seconds 7 14 28 56] [--steps N] [--out DIR]

A model is fitted to the first seconds of the training stretch of each direction, and generates ten
times as many: latent diffusion is one model that is asked for each direction, of spike history each
direction has its own. A logistic regression decodes the direction from the counts of one second,
trained with the real seconds alone and with the generated ones too; penalty and weight of generated
seconds are chosen on the validation stretch. Prints the accuracy on the test stretch, and that of
the decoder of real seconds on generated ones, means over sessions and seeds with 95 % intervals
over sessions, and writes DIR/calcium_decoder.json. Interrupted, the same command continues.
"""

import argparse
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression

from sts.base.errors import StsError
from sts.base.files import read_json, write_json
from sts.base.types import Floats, Ints
from sts.calcium.compare import BIN_S, bin_counts
from sts.calcium.latent_training import train_latents
from sts.calcium.latents import LatentSettings
from sts.calcium.population_models import fit_population
from sts.studies.calcium.population import POPULATION_WINDOWS
from sts.studies.calcium.source import CalciumSource, load_split

SECONDS = (7, 14, 28, 56)
MORE_GENERATED = 10
PENALTIES = (0.01, 0.1, 1.0)
WEIGHTS = (0.01, 0.03, 0.1, 0.3, 1.0)
LENGTH = POPULATION_WINDOWS.length


def count_seconds(pieces: list[Ints], rate_hz: float) -> tuple[Floats, Ints]:
    """Return counts (seconds, neurons) of the pieces of each direction, and the directions."""
    rows, labels = [], []
    for label, piece in enumerate(pieces):
        halves = bin_counts(piece, rate_hz)
        size = round(1 / BIN_S)
        whole = halves[:, : halves.shape[1] // size * size]
        rows.append(whole.reshape(len(whole), -1, size).sum(axis=2).T)
        labels += [label] * len(rows[-1])
    return np.concatenate(rows).astype(np.float64), np.array(labels)


def generate_directions(
    model: str,
    few: list[Ints],
    validation: list[Ints],
    rate_hz: float,
    rng: np.random.Generator,
    **given: int,
) -> list[Ints]:
    """Fit a model to a few seconds of each direction; return generated ones (neurons, frames)."""
    count = round(MORE_GENERATED * few[0].shape[1] / LENGTH)
    if model == "ldns":
        settings = LatentSettings(**given, stretches=len(few))
        length = min(LENGTH, *(piece.shape[1] for piece in few))
        asked: dict[str, Any] = {"length": length, "rate_hz": rate_hz, "settings": settings}
        latent, _ = train_latents(few, validation, **asked)
        made = [latent.sample(count, LENGTH, rng, number) for number in range(len(few))]
    else:
        models = [fit_population("history", [piece], rate_hz) for piece in few]
        made = [each.sample(count, LENGTH, rng) for each in models]
    return [np.concatenate(list(windows), axis=1) for windows in made]


def fit_best(
    real: tuple[Floats, Ints], made: tuple[Floats, Ints] | None, validation: tuple[Floats, Ints]
) -> tuple[LogisticRegression, float]:
    """Return the decoder that is best on the validation stretch, and its weight of made seconds."""
    best: tuple[float, LogisticRegression | None, float] = (-np.inf, None, 0.0)
    for weight in (0.0,) if made is None else (0.0, *WEIGHTS):
        x, y, weights = *real, np.ones(len(real[1]))
        if made is not None and weight:
            x, y = np.concatenate([x, made[0]]), np.concatenate([y, made[1]])
            weights = np.concatenate([weights, np.full(len(made[1]), weight)])
        for penalty in PENALTIES:
            decoder = LogisticRegression(C=penalty, max_iter=500).fit(np.sqrt(x), y, weights)
            # The likelihood is finer than the accuracy of a short stretch.
            chances = decoder.predict_log_proba(np.sqrt(validation[0]))
            score = float(chances[np.arange(len(chances)), validation[1]].mean())
            if score > best[0]:
                best = score, decoder, weight
    assert best[1] is not None
    return best[1], best[2]


def decode_session(
    session: str, model: str, some_seconds: list[int], given: dict[str, int]
) -> dict[str, Any]:
    """Return the accuracies of a session for each number of real seconds."""
    path, _, series = session.partition(":")
    cohort = load_split(CalciumSource(path=path, series=series, windows=POPULATION_WINDOWS))
    trains, rate_hz = cohort.find_trains(), cohort.recording.rate_hz
    training, validation, test = (
        cohort.cut.pieces(part, trains)  # type: ignore[arg-type]
        for part in ("training", "validation", "test")
    )
    shortest = min(piece.shape[1] for piece in training) / rate_hz
    if len(training) < 2 or shortest < max(some_seconds):
        raise StsError(
            f"{session} has {len(training)} directions with at least {shortest:.0f} s to train on: "
            f"2 with {max(some_seconds)} s are needed"
        )
    checked, tested = count_seconds(validation, rate_hz), count_seconds(test, rate_hz)
    rng, rows = np.random.default_rng(given["seed"]), []
    for seconds in some_seconds:
        few = [piece[:, : round(seconds * rate_hz)] for piece in training]
        drawn = generate_directions(model, few, validation, rate_hz, rng, **given)
        made = count_seconds(drawn, rate_hz)
        real = count_seconds(few, rate_hz)
        alone, _ = fit_best(real, None, checked)
        both, weight = fit_best(real, made, checked)
        scores = [float(each.score(np.sqrt(tested[0]), tested[1])) for each in (alone, both)]
        row = {"seconds": seconds, "alone": scores[0], "both": scores[1], "weight": weight}
        rows.append(row | {"generated": float(alone.score(np.sqrt(made[0]), made[1]))})
    return {"session": session, "model": model, "test_seconds": len(tested[1]), "rows": rows}


def find_interval(values: list[float]) -> str:
    """Return a mean and its 95 % interval in words."""
    n = len(values)
    half = student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return f"{np.mean(values):.3f} ± {half:.3f}"


def print_accuracies(found: list[dict[str, Any]]) -> None:
    """Print a row for each model and number of real seconds, as Markdown."""
    kept: dict[tuple[str, int], dict[str, list[tuple[float, ...]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for each in found:
        for row in each["rows"]:
            scores = (row["alone"], row["both"], row.get("generated", np.nan))
            kept[each["model"], row["seconds"]][each["session"]].append(scores)
    print(
        "| model | seconds a direction | real alone | with generated | difference | of generated |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for (model, seconds), sessions in kept.items():
        means = np.array([np.mean(pairs, axis=0) for pairs in sessions.values()])
        columns = [means[:, 0], means[:, 1], means[:, 1] - means[:, 0], means[:, 2]]
        cells = [find_interval(column.tolist()) for column in columns]
        print(f"| {model} | {seconds} | {' | '.join(cells)} |")


def main() -> None:
    """Decode, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sessions", nargs="+", metavar="FILE:SESSION")
    parser.add_argument("--models", nargs="+", choices=("history", "ldns"), default=["history"])
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each model (2)")
    parser.add_argument("--seconds", type=int, nargs="+", default=SECONDS, help="of a direction")
    parser.add_argument("--steps", type=int, default=600, help="of the diffusion model (600)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = args.out / "calcium_decoder.json"
    stored = read_json(path) if path.is_file() else {}
    done: dict[str, Any] = stored if isinstance(stored, dict) else {}
    asked = {}
    for seed, session, model in product(range(args.seeds), args.sessions, args.models):
        key = f"{Path(session).name} {model} {seed} {args.steps}"
        if key not in done or [row["seconds"] for row in done[key]["rows"]] != [*args.seconds]:
            given = {"seed": seed, "steps": args.steps}
            done[key] = decode_session(session, model, args.seconds, given)
            done[key]["session"] = Path(session).name
            write_json(path, done)
        asked[key] = done[key]
    print_accuracies(list(asked.values()))
    print(f"written: {path}")


if __name__ == "__main__":
    try:
        main()
    except StsError as error:
        raise SystemExit(f"error: {error}") from error
