"""An adversarial random forest: its leaves become regions in which features are independent."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.ensemble import RandomForestClassifier

from sts.augment.contract import check_label, check_rows, draw_seed
from sts.augment.frame import Frame
from sts.augment.settings import ArfSettings
from sts.base.types import Floats, Ints

# Weight, in rows, of a standard normal distribution in that of a leaf.
_PRIOR_ROWS: Final = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Leaves:
    """The leaves of all trees, with an independent normal distribution of each feature."""

    low: Floats
    """(leaves, features), where a leaf begins."""
    high: Floats
    means: Floats
    deviations: Floats
    counts: Floats
    """(leaves, classes), the rows of each class in each leaf."""

    def draw(self, place: int | None, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of scores of a class, or of all classes with None."""
        counts = self.counts.sum(axis=1) if place is None else self.counts[:, place]
        at = rng.choice(len(counts), size=n, p=counts / counts.sum())
        means, deviations = self.means[at], self.deviations[at]
        below, above = (ndtr((edge[at] - means) / deviations) for edge in (self.low, self.high))
        u = below + (above - below) * rng.random(below.shape)
        drawn = means + deviations * ndtri(np.clip(u, 1e-12, 1 - 1e-12))
        return np.clip(drawn, self.low[at], self.high[at])


def _find_boxes(tree: Any, features: int) -> tuple[Floats, Floats]:
    """Return where the nodes of a tree begin and end, two of (nodes, features)."""
    low = np.full((tree.node_count, features), -np.inf)
    high = np.full((tree.node_count, features), np.inf)
    # A node comes before its children.
    for node in range(tree.node_count):
        children = tree.children_left[node], tree.children_right[node]
        if children[0] < 0:
            continue
        for child in children:
            low[child], high[child] = low[node], high[node]
        split, limit = tree.feature[node], tree.threshold[node]
        high[children[0], split] = low[children[1], split] = limit
    return low, high


def _measure_leaves(forest: RandomForestClassifier, scores: Floats, classes: Ints) -> _Leaves:
    """Return the leaves of a forest that contain real rows."""
    parts: list[tuple[Floats, ...]] = []
    kinds = np.eye(int(classes.max()) + 1, dtype=np.int64)[classes]
    for estimator, nodes in zip(forest.estimators_, forest.apply(scores).T, strict=True):
        low, high = _find_boxes(estimator.tree_, scores.shape[1])
        used, at = np.unique(nodes, return_inverse=True)
        rows = np.bincount(at)[:, None] + _PRIOR_ROWS
        sums, squares, counts = (
            np.zeros((len(used), each.shape[1])) for each in (scores, scores, kinds)
        )
        np.add.at(sums, at, scores)
        np.add.at(squares, at, scores**2)
        np.add.at(counts, at, kinds)
        means = sums / rows
        variances = (squares + _PRIOR_ROWS) / rows - means**2
        parts.append((low[used], high[used], means, np.sqrt(variances), counts))
    low, high, means, deviations, counts = map(np.concatenate, zip(*parts, strict=True))
    return _Leaves(low=low, high=high, means=means, deviations=deviations, counts=counts)


@dataclass(frozen=True, eq=False)
class AdversarialForest:
    """Rows from the leaves of a forest that no longer separates them from real rows."""

    settings: ArfSettings
    frame: Frame | None = None
    leaves: _Leaves | None = None
    labels: Ints | None = None
    notes: tuple[str, ...] = ()

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator with the leaves of the last forest.

        The first forest separates rows from shuffled ones; each later one from what the leaves of
        the one before it draw (Watson et al., 2023), until it cannot.
        """
        X, y = check_rows(X, y)
        labels, classes = np.unique(y, return_inverse=True)
        frame = Frame.fit(X, y, settings=self.settings.frame, rng=rng)
        scores = frame.scores(X, y, rng)
        synthetic = rng.permuted(scores, axis=0)
        for number in range(1, self.settings.rounds + 1):
            forest = self._separate(scores, synthetic, draw_seed(rng))
            leaves = _measure_leaves(forest, scores, classes)
            accuracy = float(forest.oob_score_) if len(X) > 1 else 0.5
            note = f"forest {number} recognises {100 * accuracy:.0f} % of rows as real or not"
            if accuracy <= 0.5 + self.settings.margin:
                break
            synthetic = leaves.draw(None, len(scores), rng)
        return replace(self, frame=frame, leaves=leaves, labels=labels, notes=(note,))

    def _separate(self, scores: Floats, synthetic: Floats, seed: int) -> RandomForestClassifier:
        forest = RandomForestClassifier(
            self.settings.trees,
            min_samples_leaf=min(self.settings.leaf_rows, len(scores)),
            oob_score=len(scores) > 1,
            random_state=seed,
        )
        return forest.fit(np.concatenate([scores, synthetic]), np.repeat([1, 0], len(scores)))

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class."""
        if self.frame is None or self.leaves is None or self.labels is None:
            raise ValueError("fit before you sample")
        check_label(label, self.labels)
        place = int(np.searchsorted(self.labels, label))
        return self.frame.rows(self.leaves.draw(place, n, rng), label)
