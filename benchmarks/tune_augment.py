"""Tune the generators of the augmentation benchmark on training folds, and write what is best.

    python benchmarks/tune_augment.py --data DATA [--task e] [--methods vae] [--folds 4] [--write]

A fifth of the neurons is set aside before anything is tried. Each candidate is fitted on folds of
the others. Extra trees learn from its rows alone, twice as many as there are real ones, and
classify the other fold. The score is their macro F1, divided by that of extra trees that learn from
the real rows. A candidate whose rows are too near to the training rows is not taken. With --write
the best settings go to the tuned settings of the package, with their scores on the fifth set aside.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sts.augment.contract import GENERATORS, TUNED, change_settings, make_generator
from sts.augment.grid import deal_groups, divide_training_rows
from sts.augment.neurons import Neurons
from sts.augment.preparation import fit_space
from sts.augment.tasks import load_task
from sts.base.errors import one_of
from sts.base.files import read_json, write_json
from sts.base.types import Floats, Ints
from sts.evaluation.predictions import scores_of
from sts.tabular.classifiers import BenchmarkClassifier, predict_probabilities

# Synthetic rows for each real one.
TIMES: Final = 2
PARTS: Final = 5
FOLDS: Final = 4
TREES: Final = {"n_estimators": 200}
# Least distance to the training neurons, as a part of that of held-out ones; nearer is a copy.
NEAREST: Final = 0.8
SEED: Final = 20
NAMES: Final = ("macro_f1", "nearest", "seconds")
DIGITS: Final = 3

Values = dict[str, Any]

# Candidates of each method: their differences from the default settings.
POOLED: Final[Values] = {"frame": {"space": "pooled"}}
CANDIDATES: Final[Mapping[str, tuple[Values, ...]]] = {
    "copula": ({}, {"frame": {"shape_rows": 1.0}}, {"frame": {"correlation_rows": 5.0}}),
    "gan": ({}, POOLED),
    "vae": ({}, POOLED, {"layers": {"dropout": 0.2}, "latent": 8}),
    "flow": ({}, POOLED, {"transforms": 2, "loop": {"weight_decay": 0.1}}),
    "ddpm": ({}, POOLED, {"layers": {"dropout": 0.1}, "loop": {"learning_rate": 5e-4}}),
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How good the rows of a generator are, compared with real rows."""

    macro_f1: float
    """Macro F1 of trees trained on its rows, divided by that of trees trained on real ones."""
    nearest: float
    """Median distance to the nearest training row, divided by that of held-out rows."""
    seconds: float
    """Time of the processor for fitting the generator."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Neurons to fit on and to score, in the feature space of generators."""

    X: Floats
    y: Ints
    X_scored: Floats
    scored: Neurons
    number: int

    @cached_property
    def real(self) -> float:
        """Return the macro F1 of trees trained on real rows."""
        return self.macro_f1(self.X, self.y)

    def macro_f1(self, X: Floats, y: Ints) -> float:
        """Return the macro F1 of trees trained on these rows."""
        trees = BenchmarkClassifier(name="extra-trees", settings=TREES, random_state=SEED)
        count = len(self.scored.classes)
        said = predict_probabilities(trees.fit(X, y), self.X_scored, classes=count)
        return scores_of(said, self.scored.y, self.scored.classes)["macro_f1"]


def make_fold(neurons: Neurons, fit: Ints, scored: Ints, number: int) -> Fold:
    """Return a fold; its feature space is learned from the neurons to fit on."""
    space = fit_space(neurons.X[fit], neurons.names)
    return Fold(
        X=space.transform(neurons.X[fit]),
        y=neurons.y[fit],
        X_scored=space.transform(neurons.X[scored]),
        scored=neurons.rows(scored),
        number=number,
    )


def measure(method: str, settings: object, fold: Fold, *, device: str) -> Measured:
    """Fit a generator on a fold and measure its rows."""
    rng = np.random.default_rng([SEED, fold.number])
    begun = time.process_time()
    generator = make_generator(method, settings=settings, device=device).fit(fold.X, fold.y, rng)
    seconds = time.process_time() - begun
    labels, counts = np.unique(fold.y, return_counts=True)
    made = np.vstack(
        [
            generator.sample(int(label), TIMES * int(count), rng)
            for label, count in zip(labels, counts, strict=True)
        ]
    )
    return Measured(
        macro_f1=fold.macro_f1(made, np.repeat(labels, TIMES * counts)) / fold.real,
        nearest=_nearest(fold.X, made) / _nearest(fold.X, fold.X_scored),
        seconds=seconds,
    )


def _nearest(X: Floats, rows: Floats) -> float:
    distances, _ = NearestNeighbors(n_neighbors=1).fit(X).kneighbors(rows)
    return float(np.median(distances))


def tune(
    method: str, folds: Sequence[Fold], aside: Fold, candidates: Sequence[Values], *, device: str
) -> dict[str, Any]:
    """Try the candidates of a method on folds; measure the best one on the part set aside."""
    tried = []
    for values in candidates:
        settings = change_settings(GENERATORS[method].settings(), values)
        found = [measure(method, settings, fold, device=device) for fold in folds]
        mean = {name: float(np.mean([getattr(m, name) for m in found])) for name in NAMES}
        mean = {name: round(value, DIGITS) for name, value in mean.items()}
        tried.append({"settings": values, **mean})
        print(f"{method:8}", *(f"{name} {mean[name]:.3f}" for name in NAMES), values, flush=True)
    best = max(tried, key=lambda one: (one["nearest"] >= NEAREST, one["macro_f1"]))
    settings = change_settings(GENERATORS[method].settings(), best["settings"])
    last = asdict(measure(method, settings, aside, device=device))
    checked = {name: round(value, DIGITS) for name, value in last.items()}
    print(f"{method:8}", "set aside:", *(f"{name} {checked[name]:.3f}" for name in NAMES))
    return {
        "settings": best["settings"],
        "folds": len(folds),
        "tried": tried,
        "set_aside": checked,
    }


def main() -> None:
    """Tune, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--task", default="e", help="e, me or sts")
    parser.add_argument("--methods", nargs="+", default=list(CANDIDATES))
    parser.add_argument("--folds", type=int, default=1, help=f"how many of the {FOLDS} are used")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", action="store_true", help="keep the best in the package")
    args = parser.parse_args()
    methods = [one_of(method, CANDIDATES, "method") for method in args.methods]
    task = load_task(args.task, args.data)
    neurons = task.neurons
    dealt = deal_groups(task.groups, PARTS, np.random.default_rng(SEED))
    part = np.array([dealt[group] for group in neurons.group.tolist()])
    rest, last = np.flatnonzero(part > 0), np.flatnonzero(part == 0)
    inner = divide_training_rows(neurons.y[rest], FOLDS, np.random.default_rng(SEED))
    folds = [
        make_fold(neurons, rest[fit], rest[scored], number)
        for number, (fit, scored) in enumerate(islice(inner, args.folds))
    ]
    aside = make_fold(neurons, rest, last, FOLDS)
    for method in methods:
        found = tune(method, folds, aside, CANDIDATES[method], device=args.device)
        if args.write:
            known = read_json(TUNED)
            known["how"] = " ".join((__doc__ or "").split("\n\n")[2].split())
            known["tasks"].setdefault(args.task, {})[method] = found
            write_json(TUNED, known)


if __name__ == "__main__":
    main()
