"""All measures of one generator on one division, each beside what real held-out cells reach."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.augment.evaluate import Bench
from sts.augment.fidelity.copying import coverage, nearest, nearness
from sts.augment.fidelity.distributions import (
    MeasureTable,
    below_class_spread,
    between_classes,
    by_class,
    chance_of,
    correlation_error,
    kolmogorov_smirnov,
    profile_gaps,
    variance_ratio,
    wasserstein,
)
from sts.augment.fidelity.judges import scores_when_trained_on, two_sample_auc
from sts.augment.grid import BASELINE
from sts.base.types import Floats, Ints

# Of every measure what it means; `against` training or held-out cells, or neither.
MEASURES: Final = {
    "ks": "largest gap between cumulative distributions, per class and feature",
    "ks_rejected": "part of classes and features that a KS test (p < .05) tells apart",
    "wasserstein": "earth mover's distance in standard deviations, per class and feature",
    "profile_error": "distance between class means, mean over features",
    "centre_distance": "Euclidean distance between class means",
    "below_class_spread": "how often an error of a class mean is less than a real distance of two",
    "mann_whitney_p": "of that they are not (Mann-Whitney)",
    "correlation_error": "mean distance between correlations",
    "variance_ratio": "variance within classes over the real one",
    "two_sample_auc": "how well a classifier tells made from real",
    "coverage": "part of cells in whose region a made row lies",
    "nearest": "median distance to the nearest cell",
    "near": "part of rows nearer to a training cell than 19 of 20 held-out cells are",
    "trained_accuracy": "accuracy on held-out cells, trained on made rows alone",
    "trained_macro_f1": "macro F1 on held-out cells, trained on made rows alone",
}
AGAINST: Final = ("training", "held-out")
# Made rows come in several draws of as many as there are held-out cells: all measures depend on
# how many rows they see, and so made and held-out cells compare.
DRAWS: Final = 3
# Below it a KS test says that two samples are of different distributions.
REJECTED: Final = 0.05
# So many times the training cells, class by class, are learnt from alone.
TRAINED_ON: Final = 5

Set = tuple[Floats, Ints]


@dataclass(frozen=True, kw_only=True)
class Found:
    """One figure; class and feature are empty where it is of all."""

    measure: str
    against: str
    value: float
    label: str = ""
    feature: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class FidelitySides:
    """Rows in standard deviations of the training cells, flags left out."""

    training: Set
    held_out: Set
    names: tuple[str, ...]
    classes: tuple[str, ...]

    def real(self, against: str) -> Set:
        """Return the cells that are compared with."""
        return self.training if against == "training" else self.held_out


def measure_fidelity(bench: Bench) -> list[Found]:
    """Return all figures of the item's generator; without one, those of the held-out cells."""
    sides, scale = sides_of(bench)
    if bench.item.method == BASELINE:
        return _floor(sides, bench.rng("fidelity"))
    return _of_made(bench, sides, scale)


def _floor(sides: FidelitySides, rng: np.random.Generator) -> list[Found]:
    """Return what real cells reach in the place of made ones, on either side."""
    others = [_as_many(sides.training, sides.held_out[1], rng) for _ in range(DRAWS)]
    return [
        *_compared(sides, [sides.held_out], "training", rng),
        *_compared(sides, others, "held-out", rng),
        _near(sides, [sides.held_out]),
        *_learnt(sides, sides.training, rng),
    ]


def _of_made(bench: Bench, sides: FidelitySides, scale: Floats) -> list[Found]:
    rng = bench.rng("fidelity")
    width = len(sides.names)
    counts = dict(zip(*np.unique(sides.held_out[1], return_counts=True), strict=True))
    present = set(np.unique(sides.training[1]).tolist())
    wanted = {int(label): int(count) for label, count in counts.items() if int(label) in present}
    if not wanted:
        # No class is on both sides: there is nothing to compare with.
        return []
    draws = []
    for draw in range(DRAWS):
        rows, labels = bench.synthetic(wanted, f"draw {draw}")
        draws.append((rows[:, :width] / scale, labels))
    trained = dict(zip(*np.unique(sides.training[1], return_counts=True), strict=True))
    many = {int(label): TRAINED_ON * int(count) for label, count in trained.items()}
    rows, labels = bench.synthetic(many, "alone")
    return [
        *(each for against in AGAINST for each in _compared(sides, draws, against, rng)),
        _near(sides, draws),
        *_learnt(sides, (rows[:, :width] / scale, labels), rng),
    ]


def _as_many(rows: Set, labels: Ints, rng: np.random.Generator) -> Set:
    """Return rows drawn without replacement, as many of each class as there are labels of it."""
    drawn = [
        rng.permutation(np.flatnonzero(rows[1] == label))[:count]
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True)
    ]
    chosen = np.concatenate(drawn)
    return rows[0][chosen], rows[1][chosen]


def sides_of(bench: Bench) -> tuple[FidelitySides, Floats]:
    """Return both real sides in the space where the generator works, and its scale."""
    view = bench.view
    if view.preparing.space == "reduced":
        training, held_out = view.train.complete, view.scored.complete
        names = tuple(f"component {number + 1}" for number in range(training.shape[1]))
    else:
        # Flags are true or false: distances between them mean little.
        names = view.space.names[: len(view.space.kept)]
        training, held_out = (each[:, : len(names)] for each in (view.native, view.native_scored))
    deviation = training.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    sides = FidelitySides(
        training=(training / scale, view.y),
        held_out=(held_out / scale, bench.scored.y),
        names=names,
        classes=bench.fit.classes,
    )
    return sides, scale


def _compared(
    sides: FidelitySides, draws: Sequence[Set], against: str, rng: np.random.Generator
) -> Iterator[Found]:
    """Yield the mean of every measure over draws of made rows."""
    real = sides.real(against)
    for name, function in (("ks", kolmogorov_smirnov), ("wasserstein", wasserstein)):
        tables = [by_class(function, made, real) for made in draws]
        values = np.mean([each.values for each in tables], axis=0)
        for row, label in enumerate(tables[0].labels):
            for column, feature in enumerate(sides.names):
                yield Found(
                    measure=name,
                    against=against,
                    value=float(values[row, column]),
                    label=sides.classes[label],
                    feature=feature,
                )
    chances = np.stack([by_class(_chance, made, real).values for made in draws])
    rejected = chances[np.isfinite(chances)] < REJECTED
    yield Found(measure="ks_rejected", against=against, value=_mean(rejected))
    yield from _profiles(sides, [by_class(profile_gaps, made, real) for made in draws], against)
    yield from _whole(draws, real, against, rng)


def _profiles(
    sides: FidelitySides, tables: Sequence[MeasureTable], against: str
) -> Iterator[Found]:
    """Yield how far class means are from real ones, beside how far real classes are apart."""
    gaps = np.stack([each.values for each in tables])
    for row, label in enumerate(tables[0].labels):
        name, here = sides.classes[label], gaps[:, row]
        yield Found(measure="profile_error", against=against, value=_mean(here), label=name)
        distance = _mean(np.sqrt((here**2).sum(axis=1)))
        yield Found(measure="centre_distance", against=against, value=distance, label=name)
    spread = between_classes(*sides.training)
    tests = np.array([below_class_spread(each, spread) for each in gaps])
    yield Found(measure="below_class_spread", against=against, value=_mean(tests[:, 0]))
    yield Found(measure="mann_whitney_p", against=against, value=_mean(tests[:, 1]))


def _chance(made: Floats, real: Floats) -> Floats:
    return chance_of(kolmogorov_smirnov(made, real), len(made), len(real))


def _whole(
    draws: Sequence[Set], real: Set, against: str, rng: np.random.Generator
) -> Iterator[Found]:
    """Yield what is measured on all classes together."""
    values = {
        "correlation_error": [correlation_error(made[0], real[0]) for made in draws],
        "variance_ratio": [variance_ratio(made, real) for made in draws],
        "two_sample_auc": [two_sample_auc(draws[0], real, rng)],
        "coverage": [coverage(made[0], real[0]) for made in draws],
        "nearest": [float(np.median(nearest(made[0], real[0]))) for made in draws],
    }
    for name, several in values.items():
        yield Found(measure=name, against=against, value=_mean(several))


def _near(sides: FidelitySides, draws: Sequence[Set]) -> Found:
    held_out, training = sides.held_out[0], sides.training[0]
    parts = [nearness(made[0], held_out, training) for made in draws]
    return Found(measure="near", against="training", value=_mean(parts))


def _learnt(sides: FidelitySides, made: Set, rng: np.random.Generator) -> Iterator[Found]:
    scores = scores_when_trained_on(made, sides.held_out, classes=sides.classes, rng=rng)
    for name in ("accuracy", "macro_f1"):
        yield Found(measure=f"trained_{name}", against="", value=scores[name])


def _mean(values: object) -> float:
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")
