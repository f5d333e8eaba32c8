"""What each method changes: paired with the same classifier on the same training rows alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from sts.augment.grid import BASELINE
from sts.base.types import Floats
from sts.evaluation.compare import correct_by_holm, corrected_interval, judge, verdict_of
from sts.evaluation.predictions import LOWER_IS_BETTER, PLAIN_SCORES, RECALL
from sts.evaluation.scores import Interval

COLUMNS: Final = (
    "method",
    "classifier",
    "added",
    "score",
    "baseline",
    "value",
    "difference",
    "low",
    "high",
    "verdict",
    "p",
    "holm_verdict",
    "holm_p",
    "comparisons",
    "pairs",
)

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much one score is above that of the baseline, for one method, classifier and N."""

    method: str
    classifier: str
    added: int
    score: str
    baseline: float
    value: float
    difference: Interval
    verdict: str
    """Of this comparison alone."""
    p: float
    pairs: int
    holm_verdict: str = ""
    """Corrected for all comparisons in the same score."""
    holm_p: float = math.nan
    comparisons: int = 0
    """In the same score, of those that have a verdict."""

    def to_row(self) -> dict[str, Any]:
        """Return a row of `differences.csv`."""
        return {
            **{name: getattr(self, name) for name in COLUMNS if hasattr(self, name)},
            "difference": self.difference.value,
            "low": self.difference.low,
            "high": self.difference.high,
        }


def differences_of(rows: Rows, *, protocol: str) -> list[Gain]:
    """Return all paired differences to the baseline, in the order of the rows."""
    whole = [row for row in rows if row["part"] == 1]
    baseline = {
        (row["repeat"], row["fold"], row["classifier"]): row
        for row in whole
        if row["method"] == BASELINE
    }
    groups: dict[tuple[str, str, int], list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for row in whole:
        pair = baseline.get((row["repeat"], row["fold"], row["classifier"]))
        if row["method"] != BASELINE and pair is not None:
            groups.setdefault((row["method"], row["classifier"], row["added"]), []).append(
                (row, pair)
            )
    return _corrected(
        [
            each
            for (method, classifier, added), pairs in groups.items()
            for each in _of_group(method, classifier, added, pairs, protocol=protocol)
        ]
    )


def _corrected(differences: Sequence[Gain]) -> list[Gain]:
    """Return the differences with their verdicts corrected for all in the same score."""
    found: dict[int, Gain] = {}
    for score in dict.fromkeys(each.score for each in differences):
        places = [at for at, each in enumerate(differences) if each.score == score]
        corrected = correct_by_holm([differences[at].p for at in places])
        count = int(np.isfinite(corrected).sum())
        for at, p in zip(places, corrected, strict=True):
            each = differences[at]
            found[at] = replace(
                each,
                holm_verdict=verdict_of(each.difference.value, p, score),
                holm_p=p,
                comparisons=count,
            )
    return [found[at] for at in range(len(differences))]


def _of_group(
    method: str,
    classifier: str,
    added: int,
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    *,
    protocol: str,
) -> Iterator[Gain]:
    names = [name for name in pairs[0][0] if name in PLAIN_SCORES or name.startswith(RECALL)]
    ratio = rows_ratio([base for _, base in pairs], protocol=protocol)
    for score in names:
        ours, theirs = (
            np.array([pair[side][score] for pair in pairs], dtype=np.float64) for side in (0, 1)
        )
        judged = judge(
            ours - theirs, score, test_to_train=ratio, over_divisions=protocol != "paper"
        )
        yield Gain(
            method=method,
            classifier=classifier,
            added=added,
            score=score,
            baseline=_mean(theirs),
            value=_mean(ours),
            difference=judged.difference,
            verdict=judged.verdict,
            p=judged.p,
            pairs=int(np.isfinite(ours - theirs).sum()),
        )


def score_levels(
    rows: Rows, score: str, *, protocol: str
) -> dict[tuple[str, str, int, float], Interval]:
    """Return a score of every method, classifier, N and part of the training rows.

    An interval over few folds is wide; it ends where the score does.
    """
    highest = np.inf if score in LOWER_IS_BETTER else 1.0
    groups: dict[tuple[str, str, int, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["method"], row["classifier"], row["added"], row["part"])
        groups.setdefault(key, []).append(row)
    found = {}
    for key, several in groups.items():
        ratio = rows_ratio(several, protocol=protocol)
        values = np.array([row[score] for row in several])
        each = corrected_interval(values, test_to_train=ratio)
        found[key] = Interval(each.value, max(each.low, 0.0), min(each.high, highest))
    return found


def rows_ratio(rows: Rows, *, protocol: str) -> float:
    """Return scored rows for each training row; 0 where one division is repeated with new seeds."""
    if protocol == "paper":
        return 0.0
    return float(np.mean([row["scored_rows"] / row["train_rows"] for row in rows]))


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
