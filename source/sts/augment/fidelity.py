"""All measures of one generator on one division, compared with those of real held-out cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.augment.evaluate import PreparedItem
from sts.augment.grid import BASELINE
from sts.augment.measures import (
    LabelledRows,
    attack_membership,
    boosted_auc,
    class_distances,
    compare_with_class_distances,
    correlation_error,
    coverage,
    density,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p,
    mean_gaps,
    measure_classes,
    near_share,
    nearest_distances,
    score_learner,
    score_training,
    two_sample_auc,
    variance_ratio,
    wasserstein,
)
from sts.base.types import Floats, Ints

# Classifiers that are trained on synthetic rows alone, in addition to extra trees.
LEARNERS: Final = ("lda", "svm", "lightgbm")
# The meaning of every measure.
MEASURES: Final = {
    "ks": "largest gap between cumulative distributions, per class and feature",
    "ks_rejected": "part of classes and features in which a KS test finds a difference (p < .05)",
    "wasserstein": "earth mover's distance in standard deviations, per class and feature",
    "profile_error": "distance between class means, mean over features",
    "centre_distance": "Euclidean distance between class means",
    "below_class_spread": "how often an error of a class mean is less than a distance of classes",
    "mann_whitney_p": "p of a Mann-Whitney test that such errors are smaller",
    "correlation_error": "mean distance between correlations",
    "variance_ratio": "variance within classes over the real one",
    "two_sample_auc": "how well a classifier separates synthetic from real rows (0.5: not at all)",
    "boosted_auc": "the same with boosted trees",
    "coverage": "part of cells with a synthetic row in their region",
    "density": "number of regions of cells that a row is in, over the number expected",
    "nearest": "median distance to the nearest cell",
    "near": "part of rows nearer to a training cell than 19 of 20 held-out cells are",
    "trained_accuracy": "accuracy on held-out cells, trained on synthetic rows alone",
    "trained_macro_f1": "macro F1 on held-out cells, trained on synthetic rows alone",
    **{
        f"trained_macro_f1_{name}": f"the same with {name} instead of extra trees"
        for name in LEARNERS
    },
    "distance_auc": "how well training cells are recognised by a near row (0.5: not at all)",
    "distance_found": "part of training cells recognised so, with 1 % of held-out cells",
    "density_auc": "how well training cells are recognised by the density of rows",
    "density_found": "part of training cells recognised so, with 1 % of held-out cells",
}
AGAINST: Final = ("training", "held-out")
# Number of draws of synthetic rows. Each draw has the number of held-out cells, so that both can be
# compared: all measures depend on the number of rows.
SYNTHETIC_DRAWS: Final = 3
# P value below which a KS test detects a difference.
REJECTED: Final = 0.05
# Synthetic rows per training cell if a classifier is trained on synthetic rows alone.
TRAINED_ON: Final = 5


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One value; class and feature are empty if it is for all of them."""

    measure: str
    against: str
    """The cells for comparison, `training` or `held-out`; empty for neither."""
    value: float
    label: str = ""
    feature: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class FidelitySides:
    """Training and held-out cells, in standard deviations of the training cells, without flags."""

    training: LabelledRows
    held_out: LabelledRows
    scale: Floats
    """(features,) the standard deviations."""
    names: tuple[str, ...]
    classes: tuple[str, ...]


def measure_fidelity(prepared: PreparedItem) -> list[Measurement]:
    """Return all measures of the generator of an item; for the baseline, those of real cells."""
    sides = scale_sides(prepared)
    rng = prepared.rng("fidelity")
    if prepared.item.method == BASELINE:
        return _measure_real(sides, prepared, rng)
    present = set(np.unique(sides.training[1]).tolist())
    counts = {n: m for n, m in _count_labels(sides.held_out[1]).items() if n in present}
    if not counts:
        # No class is on both sides: a comparison is impossible.
        return []
    draws = [_generate(prepared, sides, counts, f"draw {draw}") for draw in range(SYNTHETIC_DRAWS)]
    many = {label: TRAINED_ON * n for label, n in _count_labels(sides.training[1]).items()}
    alone = _generate(prepared, sides, many, "alone")
    return [
        *(each for against in AGAINST for each in _compare(sides, draws, against, rng)),
        _measure_near(sides, draws),
        *_measure_training(sides, alone, rng),
        *_measure_more(sides, draws, prepared),
        *_measure_attacks(sides, alone[0], prepared),
        *_measure_learners(sides, alone, prepared),
    ]


def _measure_real(
    sides: FidelitySides, prepared: PreparedItem, rng: np.random.Generator
) -> list[Measurement]:
    """Return the measures of real cells instead of synthetic rows, compared with both sides."""
    draws = []
    for _ in range(SYNTHETIC_DRAWS):
        chosen = np.concatenate(
            [
                rng.permutation(np.flatnonzero(sides.training[1] == label))[:count]
                for label, count in _count_labels(sides.held_out[1]).items()
            ]
        )
        draws.append((sides.training[0][chosen], sides.training[1][chosen]))
    return [
        *_compare(sides, [sides.held_out], "training", rng),
        *_compare(sides, draws, "held-out", rng),
        _measure_near(sides, [sides.held_out]),
        *_measure_training(sides, sides.training, rng),
        *_measure_more(sides, draws, prepared, training=[sides.held_out]),
        *_measure_attacks(sides, None, prepared),
        *_measure_learners(sides, sides.training, prepared),
    ]


def _count_labels(y: Ints) -> dict[int, int]:
    labels, counts = np.unique(y, return_counts=True)
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


def _generate(
    prepared: PreparedItem, sides: FidelitySides, counts: Mapping[int, int], purpose: str
) -> LabelledRows:
    rows, labels = prepared.generate(counts, purpose)
    return rows[:, : len(sides.names)] / sides.scale, labels


def scale_sides(prepared: PreparedItem) -> FidelitySides:
    """Return both real sides in the space of the generator, without cells against a condition."""
    view = prepared.view
    if view.preparation.space == "reduced":
        training, held_out = view.train.complete, view.scored.complete
        names = tuple(f"component {number + 1}" for number in range(training.shape[1]))
    else:
        # Flags are true or false: distances between them are not informative.
        names = view.space.names[: len(view.space.kept)]
        training, held_out = (each[:, : len(names)] for each in (view.native, view.native_scored))
    deviation = training.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    division, condition = prepared.item.division, prepared.item.condition
    fit, scored = (
        np.arange(len(each)) if condition is None else np.flatnonzero(condition.met[each])
        for each in (division.fit, division.scored)
    )
    return FidelitySides(
        training=(training[fit] / scale, view.y[fit]),
        held_out=(held_out[scored] / scale, prepared.scored.y[scored]),
        scale=scale,
        names=names,
        classes=prepared.fit.classes,
    )


def _compare(
    sides: FidelitySides, draws: Sequence[LabelledRows], against: str, rng: np.random.Generator
) -> Iterator[Measurement]:
    """Yield the mean of every measure over draws of synthetic rows."""
    real = sides.training if against == "training" else sides.held_out
    for name, function in (("ks", kolmogorov_smirnov), ("wasserstein", wasserstein)):
        tables = [measure_classes(function, rows, real) for rows in draws]
        for label in tables[0]:
            means = np.mean([table[label] for table in tables], axis=0)
            for feature, value in zip(sides.names, means.tolist(), strict=True):
                yield Measurement(
                    measure=name,
                    against=against,
                    value=value,
                    label=sides.classes[label],
                    feature=feature,
                )
    tables = [measure_classes(kolmogorov_smirnov_p, rows, real) for rows in draws]
    p = np.array([values for table in tables for values in table.values()])
    yield Measurement(
        measure="ks_rejected", against=against, value=_mean(p[np.isfinite(p)] < REJECTED)
    )
    yield from _compare_means(sides, draws, against)
    values_of_all = {
        "correlation_error": [correlation_error(rows, real[0]) for rows, _ in draws],
        "variance_ratio": [variance_ratio(rows, real) for rows in draws],
        "two_sample_auc": [two_sample_auc(draws[0], real, rng)],
        "coverage": [coverage(rows, real[0]) for rows, _ in draws],
        "nearest": [float(np.median(nearest_distances(rows, real[0]))) for rows, _ in draws],
    }
    for name, several in values_of_all.items():
        yield Measurement(measure=name, against=against, value=_mean(several))


def _compare_means(
    sides: FidelitySides, draws: Sequence[LabelledRows], against: str
) -> Iterator[Measurement]:
    """Yield the errors of class means, and how they compare with distances of real classes."""
    real = sides.training if against == "training" else sides.held_out
    tables = [measure_classes(mean_gaps, rows, real) for rows in draws]
    for label in tables[0]:
        name, gaps = sides.classes[label], np.stack([table[label] for table in tables])
        yield Measurement(measure="profile_error", against=against, value=_mean(gaps), label=name)
        distance = _mean(np.sqrt((gaps**2).sum(axis=1)))
        yield Measurement(measure="centre_distance", against=against, value=distance, label=name)
    distances = class_distances(*sides.training)
    tests = np.array(
        [compare_with_class_distances(np.array(list(t.values())), distances) for t in tables]
    )
    yield Measurement(measure="below_class_spread", against=against, value=_mean(tests[:, 0]))
    yield Measurement(measure="mann_whitney_p", against=against, value=_mean(tests[:, 1]))


def _measure_near(sides: FidelitySides, draws: Sequence[LabelledRows]) -> Measurement:
    held_out, training = sides.held_out[0], sides.training[0]
    parts = [near_share(rows, held_out, training) for rows, _ in draws]
    return Measurement(measure="near", against="training", value=_mean(parts))


def _measure_training(
    sides: FidelitySides, rows: LabelledRows, rng: np.random.Generator
) -> Iterator[Measurement]:
    scores = score_training(rows, sides.held_out, classes=sides.classes, rng=rng)
    for name in ("accuracy", "macro_f1"):
        yield Measurement(measure=f"trained_{name}", against="", value=scores[name])


def _measure_more(
    sides: FidelitySides,
    draws: Sequence[LabelledRows],
    prepared: PreparedItem,
    training: Sequence[LabelledRows] | None = None,
) -> Iterator[Measurement]:
    """Yield how well boosted trees separate rows, and the density; `training` as in `draws`."""
    for against, several, real in (
        ("training", draws if training is None else training, sides.training),
        ("held-out", draws, sides.held_out),
    ):
        auc = boosted_auc(several[0], real, prepared.rng("fidelity", "boosted", against))
        yield Measurement(measure="boosted_auc", against=against, value=auc)
        dense = _mean([density(rows, real[0]) for rows, _ in several])
        yield Measurement(measure="density", against=against, value=dense)


def _measure_attacks(
    sides: FidelitySides, rows: Floats | None, prepared: PreparedItem
) -> Iterator[Measurement]:
    """Yield the results of attacks with synthetic rows; None: with real cells."""
    rng = prepared.rng("fidelity", "attack")
    results = attack_membership(rows, sides.training[0], sides.held_out[0], rng)
    for attack in ("distance", "density"):
        for name in (f"{attack}_auc", f"{attack}_found"):
            yield Measurement(measure=name, against="", value=results.get(name, float("nan")))


def _measure_learners(
    sides: FidelitySides, rows: LabelledRows, prepared: PreparedItem
) -> Iterator[Measurement]:
    for name in LEARNERS:
        rng = prepared.rng("fidelity", name)
        value = score_learner(name, rows, sides.held_out, classes=sides.classes, rng=rng)
        yield Measurement(measure=f"trained_macro_f1_{name}", against="", value=value)


def _mean(values: object) -> float:
    """Return the mean of the finite values, NaN if there are none."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")
