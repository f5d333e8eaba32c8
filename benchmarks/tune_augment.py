"""Choose settings of generators and classifiers on neurons that no fold scores.

    python benchmarks/tune_augment.py --data DATA [--methods vae] [--classifiers lda] [--folds 4]
        [--write] [--draw]

The neurons are those of `tuning_neurons.csv` in the package: a quarter of the neurons of E without
morphology, drawn once within e-types (--draw writes the list anew). They are in the training rows
of every fold of the benchmark of augmentation, and no fold scores them.

Each candidate of a generator is fitted on folds of these neurons. Extra trees learn from its rows
alone, twice as many as there are real ones, and classify the other fold. The score is their macro
F1, divided by that of extra trees that learn from the real rows. A candidate whose rows are too
near to the training rows is not taken. With --write the best settings go to the tuned settings of
the package.

Of a classifier, settings, temperature and rarity are those with the lowest log loss on the same
folds, and so are the weights of the vote. They are printed, to be written into
`sts/tabular/classifiers.py`.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sts.augment.contract import GENERATORS, TUNED, change_settings, make_generator
from sts.augment.grid import deal_groups, divide_training_rows
from sts.augment.neurons import Neurons
from sts.augment.preparation import fit_space
from sts.augment.tasks import TUNING_NEURONS, SplitGroups, load_task, read_tuning_groups
from sts.base.errors import StsError, one_of
from sts.base.files import read_json, write_csv, write_json
from sts.base.types import Floats, Ints
from sts.evaluation.predictions import scores_of
from sts.tabular.classifiers import (
    CLASSIFIERS,
    VOTERS,
    BenchmarkClassifier,
    predict_probabilities,
    raise_to_floor,
)
from sts.tabular.estimators import FLOOR

# Synthetic rows for each real one.
TIMES: Final = 2
# One of so many neurons without morphology is on the list.
PARTS: Final = 4
FOLDS: Final = 4
TREES: Final = {"n_estimators": 200}
# Least distance to the training neurons, as a part of that of held-out ones; nearer is a copy.
NEAREST: Final = 0.8
SEED: Final = 20
NAMES: Final = ("macro_f1", "nearest", "seconds")
DIGITS: Final = 3
TEMPERATURES: Final = (0.5, 0.7, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 8.0)
RARITIES: Final = (0.0, 0.2, 0.4)
# Log losses that differ by less count as equal, and the first candidate is taken.
EQUAL: Final = 0.01
VOTER_WEIGHTS: Final = (1.0, 2.0, 3.0)

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
    missing: Floats
    """The same rows with NaN for missing values."""
    y: Ints
    X_scored: Floats
    missing_scored: Floats
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


def draw_tuning_neurons(data: Path) -> list[str]:
    """Return the groups of a quarter of the neurons of E without morphology."""
    e, me = (load_task(name, data).neurons for name in ("e", "me"))
    rows = np.flatnonzero(~np.isin(e.group, me.group))
    labels = np.array(e.classes)[e.y[rows]]
    groups = SplitGroups(group=e.group[rows], stratum=labels, label=labels)
    dealt = deal_groups(groups, PARTS, np.random.default_rng(SEED))
    return sorted(group for group, part in dealt.items() if part == 0)


def make_folds(data: Path, number: int) -> list[Fold]:
    """Return folds of the neurons on the list."""
    neurons = load_task("e", data).neurons
    neurons = neurons.rows(np.isin(neurons.group, sorted(read_tuning_groups())))
    if not len(neurons):
        raise StsError(f"no neuron of {data} is in {TUNING_NEURONS.name}: --draw writes it anew")
    divided = divide_training_rows(neurons.y, FOLDS, np.random.default_rng(SEED))
    return [make_fold(neurons, *sides, n) for n, sides in enumerate(islice(divided, number))]


def make_fold(neurons: Neurons, fit: Ints, scored: Ints, number: int) -> Fold:
    """Return a fold; its feature space is learned from the neurons to fit on."""
    space = fit_space(neurons.X[fit], neurons.names)
    X, X_scored = (space.transform(neurons.X[rows]) for rows in (fit, scored))
    return Fold(
        X=X,
        missing=space.restore_missing(X),
        y=neurons.y[fit],
        X_scored=X_scored,
        missing_scored=space.restore_missing(X_scored),
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
    method: str, folds: Sequence[Fold], candidates: Sequence[Values], *, device: str
) -> dict[str, Any]:
    """Try the candidates of a generator on folds, and return the best one with all scores."""
    tried = []
    for values in candidates:
        settings = change_settings(GENERATORS[method].settings(), values)
        found = [measure(method, settings, fold, device=device) for fold in folds]
        mean = {name: float(np.mean([getattr(m, name) for m in found])) for name in NAMES}
        mean = {name: round(value, DIGITS) for name, value in mean.items()}
        tried.append({"settings": values, **mean})
        print(f"{method:8}", *(f"{name} {mean[name]:.3f}" for name in NAMES), values, flush=True)
    best = max(tried, key=lambda one: (one["nearest"] >= NEAREST, one["macro_f1"]))
    return {"settings": best["settings"], "folds": len(folds), "tried": tried}


def predict_folds(name: str, settings: Values, folds: Sequence[Fold]) -> Floats:
    """Return the uncorrected probabilities of all scored neurons, fold after fold."""
    parts = []
    for fold in folds:
        kind = CLASSIFIERS[name]
        X, scored = (
            (fold.missing, fold.missing_scored) if kind.takes_missing else (fold.X, fold.X_scored)
        )
        fitted = BenchmarkClassifier(name=name, settings=settings, random_state=SEED).fit(X, fold.y)
        whole = np.zeros((len(scored), len(fold.scored.classes)))
        whole[:, fitted.classes_] = fitted.estimator_.predict_proba(scored)
        parts.append(np.nan_to_num(whole))
    return np.concatenate(parts)


def correct(raw: Floats, counts: Floats, temperature: float, rarity: float) -> Floats:
    """Return probabilities as `BenchmarkClassifier` corrects them."""
    powers = np.maximum(raw, FLOOR**2) ** (1 / temperature) * counts**-rarity
    return raise_to_floor(powers / powers.sum(axis=1, keepdims=True))


def tune_classifier(name: str, folds: Sequence[Fold]) -> Floats:
    """Print the log loss of each candidate; return the best log probabilities."""
    truth, counts = _truth_and_counts(folds)
    best: tuple[float, Floats] = (np.inf, np.empty(0))
    for values in ({}, *CLASSIFIERS[name].candidates):
        raw = predict_folds(name, dict(values), folds)

        def loss(how: tuple[float, float], raw: Floats = raw) -> float:
            return _log_loss(correct(raw, counts, *how), truth)

        how = min(product(TEMPERATURES, RARITIES), key=loss)
        lowest = loss(how)
        print(f"{name:12} {lowest:.4f} temperature {how[0]} rarity {how[1]} {values}", flush=True)
        if lowest < best[0] - EQUAL:
            best = lowest, correct(raw, counts, *how)
    return np.log(best[1])


def tune_vote(logs: Mapping[str, Floats], folds: Sequence[Fold]) -> None:
    """Print the weights of the vote with the lowest log loss."""
    truth, _ = _truth_and_counts(folds)

    def loss(weights: Sequence[float]) -> float:
        mean = sum(w * logs[name] for w, name in zip(weights, VOTERS, strict=True)) / sum(weights)
        powers = np.exp(mean)
        return _log_loss(raise_to_floor(powers / powers.sum(axis=1, keepdims=True)), truth)

    best = min(product(VOTER_WEIGHTS, repeat=len(VOTERS)), key=loss)
    for each in (best, tuple(VOTERS.values())):
        print(f"vote log loss {loss(each):.4f} {dict(zip(VOTERS, each, strict=True))}")


def _truth_and_counts(folds: Sequence[Fold]) -> tuple[Ints, Floats]:
    """Return the classes of the scored neurons, and the mean frequency of each class."""
    size = len(folds[0].scored.classes)
    shares = [np.bincount(fold.y, minlength=size) / len(fold.y) for fold in folds]
    return np.concatenate([fold.scored.y for fold in folds]), np.mean(shares, axis=0)


def _log_loss(said: Floats, truth: Ints) -> float:
    return float(-np.log(said[np.arange(len(truth)), truth]).mean())


def _describe() -> Iterator[str]:
    for paragraph in (__doc__ or "").split("\n\n")[2:4]:
        yield " ".join(paragraph.split())


def main() -> None:
    """Tune, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--methods", nargs="*", default=list(CANDIDATES))
    parser.add_argument("--classifiers", nargs="*", default=list(CLASSIFIERS))
    parser.add_argument("--folds", type=int, default=FOLDS, help=f"how many of {FOLDS} are used")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", action="store_true", help="keep the best in the package")
    parser.add_argument("--draw", action="store_true", help="draw the list of neurons, no more")
    args = parser.parse_args()
    if args.draw:
        groups = draw_tuning_neurons(args.data)
        write_csv(TUNING_NEURONS, ("group",), [{"group": group} for group in groups])
        return
    folds = make_folds(args.data, args.folds)
    logs = {
        name: tune_classifier(one_of(name, CLASSIFIERS, "classifier"), folds)
        for name in args.classifiers
    }
    if set(VOTERS) <= set(logs):
        tune_vote(logs, folds)
    for method in [one_of(method, CANDIDATES, "method") for method in args.methods]:
        found = tune(method, folds, CANDIDATES[method], device=args.device)
        if args.write:
            known = read_json(TUNED)
            known["how"] = " ".join(_describe())
            known["tasks"].setdefault("e", {})[method] = found
            write_json(TUNED, known)


if __name__ == "__main__":
    main()
