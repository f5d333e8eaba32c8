"""A model of the baseline on disk: model.json, the cells it was fitted on, and LightGBM's text.

The trees of LightGBM are stored in its own text format. The other models have no format that is
safe to load. Their settings and training cells are stored, and the fit is repeated when they are
loaded, which takes seconds; a few stored probabilities show whether it is the same model.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.model_files import (
    CARD,
    Arrays,
    check_plain_name,
    library_versions,
    read_arrays,
    read_card,
    read_file,
    write_model,
)
from sts.base.settings import Seed, check_fields, shorten
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.formulas import FORMULAS
from sts.evaluation.calibration import OwnProbabilities, Temperature, apply_temperature
from sts.evaluation.neighbours import NOVELTY
from sts.tabular.estimators import Classifier, predict_logits
from sts.tabular.models import find_kind
from sts.tabular.novelty import TABLE_ARRAYS, Novelty, TableNoveltyRule
from sts.tabular.tree_text import MAX_TREE_BYTES, NotTrees
from sts.tabular.trees import BoostedTrees, load_trees

BASELINE_FORMAT: Final = "sts-baseline 1"
CELLS_FILE: Final = "cells.safetensors"
TREES_FILE: Final = "model.txt"
BASELINE_LIBRARIES: Final = ("lightgbm", "numpy", "scikit-learn")
# Number of cells whose probabilities are stored, to check whether a repeated fit is the same.
PROBED: Final = 20
# Largest difference of the same probability: a thousand times the effect of the order of sums.
SAME_WITHIN: Final = 1e-6
RETRAIN_BASELINE: Final = "train the model again"
TIME_ORIGINS: Final = ("onset", "absolute")
# Largest number of values (cells x features) for a repeated fit, which takes minutes at most.
MAX_FITTED: Final = 20_000_000


@dataclass(frozen=True, kw_only=True)
class BaselineCard:
    """Everything about a model except its trees."""

    name: str
    """As in the name of its folder."""
    model: str
    """Name in MODELS."""
    features: str
    """The name of the set of features."""
    names: tuple[str, ...]
    formulas: dict[str, str] = field(default_factory=dict)
    """The formulas of derived features."""
    times: str = "onset"
    classes: tuple[str, ...] = CLASSES
    temperature: Temperature = 1.0
    """The divisor of its logits, from calibration."""
    own_probabilities: OwnProbabilities = ()
    """Of calibration cells, for prediction sets; empty for a model without such cells."""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: Seed = 0
    scores: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """The training data: numbers of cells, digest of the training cells."""
    novelty: TableNoveltyRule = field(default_factory=TableNoveltyRule)
    probe: tuple[tuple[float, ...], ...] = ()
    """Probabilities of its first training cells."""
    versions: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    """The digests of the other files, by name."""
    format: str = BASELINE_FORMAT

    def __post_init__(self) -> None:
        """Raise an error for numbers that no training can give."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """A classifier with its card and its training cells."""

    classifier: Classifier
    card: BaselineCard
    novelty: Novelty
    X: Floats
    """(training cells, features)."""
    y: Ints

    def probabilities(self, X: Floats) -> Floats:
        """Return calibrated probabilities (cells, classes)."""
        return apply_temperature(predict_logits(self.classifier, X), self.card.temperature)


def baseline_folder(models: Path, model: str, variant: str, name: str | None = None) -> Path:
    """Return the folder of a model, named by its set of features or by the user."""
    last = variant if name is None else check_plain_name(name)
    return models / f"{find_kind(model).title}_best_models" / last


def save_baseline(folder: Path, model: Baseline) -> BaselineCard:
    """Write a model and return its card as written, with versions and sha256."""
    arrays = {f"novelty.{name}": each for name, each in model.novelty.arrays().items()}
    arrays |= {"X": model.X.astype(np.float64), "y": model.y.astype(np.int64)}
    with write_model(folder) as files:
        digests = {CELLS_FILE: files.add_arrays(CELLS_FILE, arrays, form=BASELINE_FORMAT)}
        if isinstance(model.classifier, BoostedTrees):
            text = model.classifier.text().encode()
            if len(text) > MAX_TREE_BYTES:
                raise StsError(
                    f"a model of {len(text):,} bytes of trees is too large to be stored: set "
                    "n_estimators or num_leaves lower"
                )
            digests[TREES_FILE] = files.add(TREES_FILE, text)
        card = replace(
            model.card,
            formulas={name: FORMULAS[name] for name in model.card.names if name in FORMULAS},
            novelty=model.novelty.rule,
            probe=_predict_probe(model),
            versions=library_versions(BASELINE_LIBRARIES),
            sha256=digests,
        )
        files.add_card(card)
    return card


def _predict_probe(model: Baseline) -> tuple[tuple[float, ...], ...]:
    probabilities = model.probabilities(model.X[:PROBED])
    return tuple(tuple(float(value) for value in row) for row in probabilities)


def load_baseline(folder: str | Path) -> Baseline:
    """Return the model in `folder` after checks; a model without trees is fitted again."""
    folder = Path(folder)
    card = load_card(folder)
    path = folder / CELLS_FILE
    arrays = read_arrays(
        path, digest=card.sha256[CELLS_FILE], again=RETRAIN_BASELINE, unknown=("X",)
    )
    own = {name.removeprefix(NOVELTY): array for name, array in arrays.items()}
    _check_cells(path, own, card)
    X, y = own["X"], own["y"]
    model = Baseline(
        classifier=_load_classifier(folder, card, X, y),
        card=card,
        novelty=Novelty.of(card.novelty, own),
        X=X,
        y=y,
    )
    _check_probe(model, folder)
    return model


def load_card(folder: Path) -> BaselineCard:
    """Return only the card of the model in `folder`, which is fast."""
    missing = "train it with `baseline_pipeline.py TRAIN`"
    card = read_card(
        folder, BaselineCard, form=BASELINE_FORMAT, missing=missing, again=RETRAIN_BASELINE
    )
    path = folder / CARD
    files = {CELLS_FILE, TREES_FILE} if card.model == "lightgbm" else {CELLS_FILE}
    if set(card.sha256) != files:
        raise StsError(f"{path} does not name the files that belong to it: {RETRAIN_BASELINE}")
    kind = find_kind(card.model)
    # The name becomes part of folder names.
    check_plain_name(card.features)
    if card.name != kind.title or card.times not in TIME_ORIGINS:
        raise StsError(f"{path} contradicts itself: {RETRAIN_BASELINE}")
    if card.classes != CLASSES:
        raise StsError(
            f"{path} must name the classes {', '.join(CLASSES)} in this order, not "
            f"{shorten(list(card.classes))}: {RETRAIN_BASELINE}"
        )
    if {len(row) for row in card.probe} - {len(CLASSES)}:
        raise StsError(
            f"{path}: probe must be a probability of each class, cell by cell: {RETRAIN_BASELINE}"
        )
    if not card.names or len(set(card.names)) < len(card.names):
        raise StsError(f"{path} names no features, or one of them twice: {RETRAIN_BASELINE}")
    kind.make_settings(card.settings, where=f"{path}.settings")
    changed = [name for name, text in card.formulas.items() if FORMULAS.get(name) != text]
    if changed:
        raise StsError(
            f"{path}: this version derives {changed[0][:40]} in another way: {RETRAIN_BASELINE}"
        )
    return card


def _check_cells(path: Path, arrays: Arrays, card: BaselineCard) -> None:
    """Raise an error for training cells that do not match the card."""
    if strange := sorted(set(arrays) ^ {"X", "y", *TABLE_ARRAYS}):
        raise StsError(
            f"{path} lacks, or should not contain, {shorten(strange[0])}: {RETRAIN_BASELINE}"
        )
    X, y = arrays["X"], arrays["y"]
    if X.dtype.name != "float64" or X.shape != (len(y), len(card.names)) or y.shape != X.shape[:1]:
        raise StsError(
            f"{path} does not contain the features of its {CARD}, cell by cell: {RETRAIN_BASELINE}"
        )
    if y.dtype.name != "int64" or not len(y) or y.min() < 0 or y.max() >= len(CLASSES):
        raise StsError(f"{path} does not contain a class of each cell: {RETRAIN_BASELINE}")
    if card.model != "lightgbm" and (len(np.unique(y)) < 2 or X.size > MAX_FITTED):
        raise StsError(
            f"{path} contains cells that no {card.name} can be fitted on: {RETRAIN_BASELINE}"
        )


def _load_classifier(folder: Path, card: BaselineCard, X: Floats, y: Ints) -> Classifier:
    if card.model == "lightgbm":
        path = folder / TREES_FILE
        content = read_file(
            path, digest=card.sha256[TREES_FILE], again=RETRAIN_BASELINE, max_bytes=MAX_TREE_BYTES
        )
        try:
            return load_trees(path, content, card.names)
        except NotTrees as error:
            raise StsError(
                f"{path} is no model of LightGBM: {error}: {RETRAIN_BASELINE}"
            ) from error
    kind = find_kind(card.model)
    settings = kind.make_settings(card.settings, where=str(folder / CARD))
    try:
        return kind.fit(X, y, settings, seed=card.seed, names=card.names)
    except ValueError as error:
        raise StsError(f"{folder}: the fit cannot be repeated: {shorten(str(error))}") from error


def _check_probe(model: Baseline, folder: Path) -> None:
    now = np.array(_predict_probe(model))
    then = np.array(model.card.probe)
    if now.shape != then.shape or not np.allclose(now, then, rtol=0, atol=SAME_WITHIN):
        there = ", ".join(f"{name} {number}" for name, number in model.card.versions.items())
        raise StsError(
            f"the model in {folder} gives other probabilities than when it was stored under "
            f"{there}: {RETRAIN_BASELINE}, or install these versions"
        )
