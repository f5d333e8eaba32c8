"""The results of a benchmark: its scores, the differences to the baseline, and the fidelity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sts.augment.grid import BASELINE, Division
from sts.augment.tasks import Task
from sts.base.types import Floats, Ints
from sts.evaluation.compare import correct_by_holm, judge, verdict_of
from sts.evaluation.predictions import PLAIN_SCORES, RECALL
from sts.evaluation.scores import Interval
from sts.reports.benchmark_scores import (
    BenchmarkScores,
    Gain,
    ScoreRow,
    ScoreRows,
    find_fidelity_intervals,
    find_rows_ratio,
    mean_known,
    summarise_scores,
)
from sts.studies.augment.settings import Job
from sts.tabular.classifiers import VOTE


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedRows:
    """Rows of a generator in the first division, in the units of the table."""

    rows: Floats
    """(n, features), NaN where a value is missing."""
    labels: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """All scores of a job, and the results from them."""

    job: Job
    task: Task
    divisions: tuple[Division, ...]
    rows: list[dict[str, Any]]
    fidelity: list[dict[str, Any]]
    """Measurements, each with its method, repeat and fold."""
    samples: dict[str, GeneratedRows]
    """Synthetic rows by method."""
    failed: dict[str, str]
    """The reason why scores are missing, by place."""
    notes: dict[tuple[str, str], int] = field(default_factory=dict)
    """Number of divisions by method and note of its generator."""
    gains: list[Gain] = field(default_factory=list)
    folder: Path = Path()
    simulated: bool = False

    @property
    def scores(self) -> BenchmarkScores:
        """Return what the figures are drawn from."""
        neurons = self.task.neurons
        return BenchmarkScores(
            rows=self.rows,
            gains=self.gains,
            fidelity=self.fidelity,
            methods=self.job.all_methods,
            classifiers=self.job.classifiers,
            main_classifier=self.main_classifier,
            added=self.job.added,
            protocol=self.job.protocol,
            classes=dict(zip(neurons.classes, neurons.counts().tolist(), strict=True)),
        )

    @property
    def fidelity_intervals(self) -> dict[str, dict[str, Interval]]:
        """Return every measure with its interval over divisions."""
        ratios = [len(each.scored) / len(each.fit) for each in self.divisions]
        return find_fidelity_intervals(self.fidelity, test_to_train=mean_known(ratios))

    @property
    def main_classifier(self) -> str:
        """Return the classifier for figures that show only one."""
        names = self.job.classifiers
        return VOTE if VOTE in names else names[-1]


def compare_with_baseline(rows: ScoreRows, *, protocol: str) -> list[Gain]:
    """Return all paired differences to the baseline, in the order of the rows."""
    whole = [row for row in rows if row["part"] == 1]
    baseline = {
        (row["repeat"], row["fold"], row["classifier"]): row
        for row in whole
        if row["method"] == BASELINE
    }
    groups: dict[tuple[str, str, int], list[tuple[ScoreRow, ScoreRow]]] = {}
    for row in whole:
        partner = baseline.get((row["repeat"], row["fold"], row["classifier"]))
        if row["method"] != BASELINE and partner is not None:
            key = (row["method"], row["classifier"], row["added"])
            groups.setdefault(key, []).append((row, partner))
    gains = [
        gain
        for key, pairs in groups.items()
        for gain in _compare_pairs(key, pairs, protocol=protocol)
    ]
    corrected: dict[int, Gain] = {}
    for score in dict.fromkeys(each.score for each in gains):
        places = [at for at, each in enumerate(gains) if each.score == score]
        p_values = correct_by_holm([gains[at].p for at in places])
        count = int(np.isfinite(p_values).sum())
        for at, p in zip(places, p_values, strict=True):
            verdict = verdict_of(gains[at].difference.value, p, score)
            corrected[at] = replace(gains[at], holm_verdict=verdict, holm_p=p, comparisons=count)
    return [corrected[at] for at in range(len(gains))]


def _compare_pairs(
    key: tuple[str, str, int],
    pairs: Sequence[tuple[ScoreRow, ScoreRow]],
    *,
    protocol: str,
) -> Iterator[Gain]:
    """Yield the difference in every score over pairs of a method and the baseline."""
    method, classifier, added = key
    names = [name for name in pairs[0][0] if name in PLAIN_SCORES or name.startswith(RECALL)]
    ratio = find_rows_ratio([base for _, base in pairs], protocol=protocol)
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
            baseline=mean_known(theirs),
            value=mean_known(ours),
            difference=judged.difference,
            verdict=judged.verdict,
            p=judged.p,
            pairs=int(np.isfinite(ours - theirs).sum()),
        )


def summarise_baseline(results: Results) -> dict[str, dict[str, Interval]]:
    """Return the scores of every classifier on real training neurons alone."""
    levels = {
        score: summarise_scores(results.rows, score, protocol=results.job.protocol)
        for score in PLAIN_SCORES
    }
    keys = {name: (BASELINE, name, 0, 1.0) for name in results.job.classifiers}
    return {
        name: {score: levels[score][key] for score in PLAIN_SCORES}
        for name, key in keys.items()
        if key in levels["accuracy"]
    }
