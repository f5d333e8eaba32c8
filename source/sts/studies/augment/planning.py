"""How many more neurons would bring as much as the best augmentation, by fitted learning curves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from sts.augment.grid import BASELINE, REAL_NEURONS, Division, make_rng
from sts.base.errors import StsError
from sts.base.runs import Run
from sts.base.types import Floats
from sts.evaluation.predictions import RECALL
from sts.evaluation.scores import Interval
from sts.reports.benchmark_scores import Gain, mean_known, method_title
from sts.reports.figures.augment_scores import Curve, draw_forecasts
from sts.reports.page import Block, Picture, Table
from sts.studies.augment.results import Results
from sts.tabular.classifiers import classifier_title

# Exponents that are tried; published learning curves lie between.
_RATES: Final = np.geomspace(0.05, 2.0, 60)
_RESAMPLES: Final = 300
# The curve is drawn up to this multiple of the training neurons.
_FAR: Final = 3.0
ALL_CLASSES: Final = "all classes"
PLAN_COLUMNS: Final = ("class", "neurons", "score", "gain", "more", "low", "high", "few")
# Number of neurons below which a class is named as rare.
FEW_NEURONS: Final = 20
_HOW_PLANNED: Final = (
    "macro F1 of all classes, and the recall of each class against its own number of neurons. It "
    "says how many more neurons would bring as much, if the curve goes on as it is; never, if it "
    "ends below. Parts have all classes in the same proportion, so a class gains here by neurons "
    "of the others too. Intervals (95 %) are over folds that are drawn again; folds share training "
    "neurons, so they are too narrow."
)


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """A learning curve: limit - drop * neurons ** -rate."""

    limit: float
    drop: float
    rate: float

    @classmethod
    def fit(cls, neurons: Floats, scores: Floats) -> Self:
        """Return the curve with the least squared error that does not fall and ends at most at 1.

        For each exponent the rest is linear.
        """
        known = np.isfinite(scores)
        neurons, scores = neurons[known], scores[known]
        if len(np.unique(neurons)) < 2:
            return cls(limit=mean_known(scores), drop=0.0, rate=1.0)
        # A row for each exponent, a column for each score.
        x = neurons ** -_RATES[:, None]
        centred = x - x.mean(axis=1, keepdims=True)
        drop = np.maximum(0.0, -(centred @ scores) / (centred**2).sum(axis=1))
        limit = scores.mean() + drop * x.mean(axis=1)
        drop = np.where(limit > 1, x @ (1 - scores) / (x**2).sum(axis=1), drop)
        limit = np.minimum(limit, 1.0)
        errors = ((limit[:, None] - drop[:, None] * x - scores) ** 2).sum(axis=1)
        best = int(np.argmin(errors))
        return cls(limit=float(limit[best]), drop=float(drop[best]), rate=float(_RATES[best]))

    def at(self, neurons: Any) -> Any:
        """Return the score with so many neurons."""
        return self.limit - self.drop * np.asarray(neurons, dtype=np.float64) ** -self.rate

    def find_neurons(self, score: float) -> float:
        """Return the number of neurons with this score; infinite if it is never reached."""
        if score >= self.limit or self.drop <= 0:
            return np.inf
        return float(((self.limit - score) / self.drop) ** (-1 / self.rate))

    def find_more(self, neurons: float, gain: float) -> float:
        """Return how many more neurons raise the score by a gain; 0 for none, NaN if unknown."""
        if np.isnan(gain) or np.isnan(self.limit):
            return np.nan
        return 0.0 if gain <= 0 else self.find_neurons(self.at(neurons) + gain) - neurons


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast:
    """One score against the number of training neurons, and what would equal an augmentation."""

    name: str
    """The class whose recall it is; for all classes, macro F1."""
    neurons: float
    """Training neurons of the class in a division."""
    score: float
    gain: float
    """Of the best augmentation."""
    more: Interval
    """Neurons that would bring as much."""
    law: PowerLaw
    counts: Floats
    """(divisions, parts)."""
    scores: Floats
    band: tuple[Floats, Floats]
    """The interval of the curve at the neurons that are drawn."""

    @property
    def drawn(self) -> Floats:
        """Return the numbers of neurons at which the curve is drawn."""
        return np.geomspace(self.counts.min(), _FAR * self.neurons, 60)

    def in_words(self) -> str:
        """Return the number of neurons that bring as much, or why there is none."""
        if np.isnan(self.more.value):
            return "not known"
        if self.gain <= 0:
            return "none: augmentation does not raise it"
        return f"{_count(self.more.value)} [{_count(self.more.low)}, {_count(self.more.high)}]"


def _count(number: float) -> str:
    return "never" if np.isinf(number) else f"{np.ceil(number):,.0f}"


def find_best_gain(results: Results) -> Gain | None:
    """Return the augmentation that raises macro F1 of the main classifier most."""
    gains = [
        each
        for each in results.gains
        if (each.score, each.classifier) == ("macro_f1", results.main_classifier)
        and each.method not in REAL_NEURONS
    ]
    return max(gains, key=lambda each: each.difference.value, default=None)


def make_forecasts(results: Results) -> list[Forecast]:
    """Return the forecast of macro F1, then of the recall of each class, rarest first."""
    best = find_best_gain(results)
    if best is None:
        raise StsError("--plan compares neurons with augmentation: name a --method")
    neurons = results.task.neurons
    divisions = [each for each in results.divisions if each.repeat == 0]
    forecasts = [_forecast(results, best, divisions, None)]
    order = np.argsort(neurons.counts(), kind="stable").tolist()
    classes = [label for label in order if neurons.counts()[label]]
    return [*forecasts, *(_forecast(results, best, divisions, label) for label in classes)]


def _forecast(
    results: Results, best: Gain, divisions: Sequence[Division], label: int | None
) -> Forecast:
    """Return the forecast of one class, or of all; folds are drawn again for its intervals."""
    neurons = results.task.neurons
    column = "macro_f1" if label is None else RECALL + neurons.classes[label]
    rows = {
        (row["method"], row["added"], row["fold"], row["part"]): row[column]
        for row in results.rows
        if row["repeat"] == 0 and row["classifier"] == results.main_classifier
    }
    parts = sorted({part for method, _, _, part in rows if method == BASELINE})
    sizes = [
        len(each.fit) if label is None else int((neurons.y[each.fit] == label).sum())
        for each in divisions
    ]
    folds = [each.fold for each in divisions]
    counts = np.array([[max(1, round(part * size)) for part in parts] for size in sizes], float)
    scores = np.array(
        [[rows.get((BASELINE, 0, fold, part), np.nan) for part in parts] for fold in folds]
    )
    gains = np.array(
        [
            rows.get((best.method, best.added, fold, 1.0), np.nan)
            - rows.get((BASELINE, 0, fold, 1.0), np.nan)
            for fold in folds
        ]
    )
    drawn = np.geomspace(counts.min(), _FAR * np.mean(sizes), 60)
    law, more = _fit_folds(counts, scores, gains)
    rng = make_rng(results.job.seed, "plan", column)
    curves, numbers = [], []
    for _ in range(_RESAMPLES):
        at = rng.integers(len(folds), size=len(folds))
        one, number = _fit_folds(counts[at], scores[at], gains[at])
        curves.append(one.at(drawn))
        numbers.append(number)
    known = np.array(numbers)[np.isfinite(numbers) | np.isinf(numbers)]
    # Not interpolated, since some numbers are infinite.
    low, high = (
        np.quantile(known, (0.025, 0.975), method="nearest") if len(known) else (np.nan, np.nan)
    )
    edges = np.quantile(curves, (0.025, 0.975), axis=0)
    return Forecast(
        name=ALL_CLASSES if label is None else neurons.classes[label],
        neurons=float(np.mean(sizes)),
        score=mean_known(scores[:, -1]),
        gain=mean_known(gains),
        more=Interval(more, float(low), float(high)),
        law=law,
        counts=counts,
        scores=scores,
        band=(edges[0], edges[1]),
    )


def _fit_folds(counts: Floats, scores: Floats, gains: Floats) -> tuple[PowerLaw, float]:
    """Return the curve of some folds, and how many more neurons bring their mean gain."""
    law = PowerLaw.fit(counts.ravel(), scores.ravel())
    return law, law.find_more(float(counts[:, -1].mean()), mean_known(gains))


def make_plan_rows(forecasts: Sequence[Forecast]) -> Iterator[dict[str, Any]]:
    """Yield the lines of `plan.csv`; `inf`: no number of neurons would bring as much."""
    for each in forecasts:
        yield {
            "class": each.name,
            "neurons": round(each.neurons, 1),
            "score": each.score,
            "gain": each.gain,
            "more": each.more.value,
            "low": each.more.low,
            "high": each.more.high,
            "few": each.name != ALL_CLASSES and each.neurons < FEW_NEURONS,
        }


def show_plan(run: Run, results: Results, forecasts: Sequence[Forecast]) -> list[Block]:
    """Return the section of the page, with its figure."""
    best = find_best_gain(results)
    if best is None:
        return []
    how = f"{method_title(best.method)} with {classifier_title(best.classifier)}"
    if best.added:
        how += f" and {best.added:,} rows added to each class"
    explained = (
        f"The best augmentation is {how}. A power law is fitted to the scores of "
        f"{classifier_title(best.classifier)} on parts of the training neurons: {_HOW_PLANNED}"
    )
    blocks: list[Block] = [
        explained,
        Picture(
            files=_draw_plan(run, forecasts),
            caption="Scores of each fold (dots), the fitted curve with its interval, and the score "
            "of the best augmentation (dashed).",
        ),
        _tabulate_plan(forecasts),
    ]
    rare = [each.name for each in forecasts[1:] if each.neurons < FEW_NEURONS]
    if rare:
        blocks.append(
            f"Fewer than {FEW_NEURONS} training neurons, so that curves are uncertain: "
            f"{', '.join(rare)}."
        )
    return blocks


def _draw_plan(run: Run, forecasts: Sequence[Forecast]) -> list[Path]:
    return draw_forecasts(
        run.figures / "plan",
        [
            Curve(
                name=each.name,
                counts=each.counts,
                scores=each.scores,
                drawn=each.drawn,
                fitted=np.asarray(each.law.at(each.drawn)),
                band=each.band,
                target=each.score + each.gain,
            )
            for each in forecasts
        ],
    )


def _tabulate_plan(forecasts: Sequence[Forecast]) -> Table:
    rows: list[list[object]] = [
        [
            each.name,
            f"{each.neurons:,.0f}",
            f"{each.score:.3f}",
            f"{each.gain:+.3f}",
            f"{each.law.limit:.3f}",
            each.in_words(),
        ]
        for each in forecasts
    ]
    return Table(
        columns=[
            "class",
            "training neurons",
            "score",
            "gain by augmentation",
            "end of the curve",
            "more neurons that bring as much",
        ],
        rows=rows,
    )
