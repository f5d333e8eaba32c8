"""One classifier for a tree of cell types, trained over several data sets.

At every node that branches, a classifier distinguishes its children. It is fitted on all cells with
a label below the node, so that a cell that is only known as Excitatory trains the first branching
and no other. The probability of a leaf is the product along its path, and the
probability of a node is the sum of those of its children (the local classifier per parent node of
Silla and Freitas, 2011).

Three things reveal the data set instead of the type of neuron, and each has a remedy:

* Classes are not equally frequent in all sets. Within each node cells are weighted so that child
  is independent of data set and mask.
* Features are missing in a set or in a protocol. Every cell is repeated with features hidden at
  random: those that another set lacks, or those of a missing stimulus. Then a missing feature does
  not reveal the set.
* Scales differ. With `align`, each set is shifted to the scale of one of them. A batch of cells of
  another set is shifted too, without labels (`sts.tabular.set_shift`).
"""

from typing import Any, Final, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from sts.base.types import Bools, Floats, Ints
from sts.evaluation.transfer import independence_weights, with_shares
from sts.evaluation.type_tree import TypeTree
from sts.tabular.estimators import ProbableClassifier, check_weights
from sts.tabular.set_shift import SetShift
from sts.tabular.trees import BoostedTrees

# A feature is missing in a data set if fewer than this share of its cells have it.
RARE: Final = 0.02
# Largest weight of a cell, as a multiple of the mean: a single cell must not represent a data set.
HEAVIEST: Final = 10.0


class TypeTreeClassifier(ProbableClassifier):
    """A tree of types as one classifier of scikit-learn; NaN is a missing value.

    Parameters
    ----------
    estimator
        Classifier of the children of each node; it takes NaN and weights of rows.
    fine_estimator
        Classifier of the children of nodes at `fine_depth` and below: many types with few cells;
        None: as above.
    masks
        (masks, features), true where a mask hides a feature, such as those of a missing stimulus.
    copies
        Number of copies of each cell with a random mask.
    even_sets
        Weight cells so that the child node is independent of data set and mask.
    align
        Shift the data sets to a common scale.
    align_depth
        Depth of the nodes whose medians are compared for the shift.
    reference
        The data set that defines the scale; None: the set with most cells.
    """

    def __init__(
        self,
        *,
        estimator: Any = None,
        fine_estimator: Any = None,
        fine_depth: int = 3,
        masks: Any = None,
        copies: int = 1,
        even_sets: bool = True,
        align: bool = False,
        align_depth: int = 2,
        reference: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.fine_estimator = fine_estimator
        self.fine_depth = fine_depth
        self.masks = masks
        self.copies = copies
        self.even_sets = even_sets
        self.align = align
        self.align_depth = align_depth
        self.reference = reference
        self.random_state = random_state

    @property
    def takes_missing(self) -> bool:
        """Tell whether rows can have missing values."""
        return True

    def fit(self, X: Any, y: Any, sample_weight: Any = None, dataset: Any = None) -> Self:
        """Fit on cells X (cells, features) with labels y, coarse or fine.

        Parameters
        ----------
        dataset
            (cells,), the data set of each cell; None: all cells are of one data set.
        """
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", dtype=np.float64)
        check_classification_targets(y)
        distinct = np.unique(y)
        labels = [str(label) for label in y]
        self.tree_ = TypeTree.from_labels(labels)
        places = self.tree_.find_nodes(map(str, distinct))
        is_leaf = np.isin(places, self.tree_.leaves)
        # The original labels: labels of plain classes can be numbers.
        self.classes_, self.class_nodes_ = distinct[is_leaf], places[is_leaf]
        if len(self.classes_) < 2:
            raise ValueError(f"all rows are of one class, {self.classes_[0]!r}: two are needed")
        weights = check_weights(sample_weight, X)
        weights = np.ones(len(X)) if weights is None else weights
        sets = np.full(len(X), "") if dataset is None else column_or_1d(dataset).astype(str)
        nodes = self.tree_.find_nodes(labels)
        if self.align:
            tops = self.tree_.lift(nodes, self.align_depth)
            known = tops >= 0
            self.shift_ = SetShift(reference=self.reference)
            self.shift_.fit(X[known], tops[known], sets[known])
            X = self.shift_.transform(X, sets)
        rows, masked, masks = self._repeat_masked(X, sets)
        # Data set and mask of each row.
        views = np.char.add(sets[rows], np.char.mod("|%d", masks))
        nodes = nodes[rows]
        self.estimators_ = {
            parent: self._fit_node(parent, masked, nodes, weights[rows], views)
            for parent in np.unique(self.tree_.parents[1:]).tolist()
            if len(self.tree_.children(parent)) > 1
        }
        return self

    def _repeat_masked(self, X: Floats, sets: Any) -> tuple[Ints, Floats, Ints]:
        """Return cells without a mask, then with random masks: rows, features and masks."""
        masks = find_masks(X, sets, self.masks)
        rng = np.random.default_rng(self.random_state)
        every = np.arange(len(X))
        rows, drawn = [every], [np.zeros(len(X), dtype=np.int64)]
        for _ in range(self.copies if len(masks) > 1 else 0):
            rows.append(every)
            # The first mask hides nothing: all cells are already included without a mask.
            drawn.append(rng.integers(1, len(masks), size=len(X)))
        which, by = np.concatenate(rows), np.concatenate(drawn)
        return which, np.where(masks[by], np.nan, X[which]), by

    def _fit_node(self, parent: int, X: Floats, nodes: Ints, weights: Floats, views: Any) -> Any:
        """Fit the classifier of a node's children on the cells whose label leads to one of them."""
        children = self.tree_.children(parent)
        below = self.tree_.contains[children][:, nodes]
        known = np.flatnonzero(below.any(axis=0))
        child = children[below[:, known].argmax(axis=0)]
        known_weights = weights[known]
        if self.even_sets:
            balance = independence_weights(child, views[known])
            known_weights = known_weights * np.minimum(balance, HEAVIEST)
        is_fine = self.fine_estimator is not None and self.tree_.depths[parent] >= self.fine_depth
        chosen = self.fine_estimator if is_fine else self.estimator
        estimator = BoostedTrees() if chosen is None else chosen
        relative = known_weights / known_weights.mean()
        return clone(estimator).fit(X[known], child, sample_weight=relative)

    def node_probabilities(self, X: Any, dataset: Any = None) -> Floats:
        """Return the probability of every node of `tree_`, (cells, nodes); the root has 1.

        Parameters
        ----------
        dataset
            (cells,), used with `align`: cells of a fitted set are shifted by the shift of the set,
            those of another set as a batch without labels; None: no cell is shifted.
        """
        X = self._checked(X)
        if self.align and dataset is not None:
            sets = np.asarray(dataset).astype(str)
            X = self.shift_.transform(X, sets)
            for name in sorted(set(sets.tolist()) - self.shift_.shifts_.keys()):
                X[sets == name] = self.shift_.transform_batch(X[sets == name], self._even_shares)
        return self._descend(X)

    def _descend(self, X: Floats) -> Floats:
        probabilities = np.ones((len(X), len(self.tree_)))
        # Every parent precedes its children.
        for parent in np.unique(self.tree_.parents[1:]).tolist():
            children = self.tree_.children(parent)
            probabilities[:, children] = probabilities[:, [parent]]
            if parent in self.estimators_:
                estimator = self.estimators_[parent]
                places = np.searchsorted(estimator.classes_, children)
                probabilities[:, children] *= estimator.predict_proba(X)[:, places]
        return probabilities

    def _even_shares(self, X: Floats) -> Floats:
        """Return the probabilities of the aligned nodes for equal frequencies of all nodes."""
        probabilities = self._descend(X)[:, self.shift_.classes_]
        shares = self.shift_.counts_ / self.shift_.counts_.sum()
        return with_shares(probabilities, shares, np.full(len(shares), 1 / len(shares)))

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each leaf, (cells, leaves), as `classes_` orders them."""
        probabilities = self.node_probabilities(X)
        return probabilities[:, self.class_nodes_]


def find_masks(X: Floats, sets: Any, masks: Any) -> Bools:
    """Return the different masks: no mask, `masks`, what each set lacks, and both together.

    The first mask hides nothing.
    """
    named = np.zeros((0, X.shape[1]), bool) if masks is None else np.asarray(masks, dtype=bool)
    lacking = [np.isfinite(X[sets == name]).mean(axis=0) < RARE for name in np.unique(sets)]
    protocols = [np.zeros(X.shape[1], bool), *named]
    both = [one | other for one in (np.zeros(X.shape[1], bool), *lacking) for other in protocols]
    # A mask that hides all features is not useful.
    return np.unique([mask for mask in both if not mask.all() or not mask.any()], axis=0)
