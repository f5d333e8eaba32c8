"""A model of the baseline on disk: model.json, the cells it was fitted on, and LightGBM's text.

The trees of LightGBM are kept in its own text format. The others have no format that is safe to
load, so that of them settings and training cells are kept and the fit is repeated when it is
loaded, which takes seconds; a few probabilities of before tell whether it is the same model.
"""

import platform
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sts.base.errors import StsError
from sts.base.files import atomic_path, read_json, sha256_of, write_json, write_text
from sts.base.settings import from_dict, to_dict
from sts.base.types import CLASSES, Floats, Ints
from sts.boosting.models import kind_of
from sts.boosting.novelty import Novelty, NoveltyRule
from sts.boosting.stack import Classifier
from sts.boosting.trees import Trees
from sts.cells.formulas import FORMULAS
from sts.evaluation.calibration import apply_temperature

FORMAT: Final = "sts-baseline 1"
CARD: Final = "model.json"
CELLS: Final = "cells.safetensors"
TREES: Final = "model.txt"
LIBRARIES: Final = ("lightgbm", "numpy", "scikit-learn")
# Cells whose probabilities are kept, to tell whether a repeated fit is the same.
PROBED: Final = 20
# A thousand times what another order of summation changes.
ALIKE: Final = 1e-6
AGAIN: Final = "train the model again"


@dataclass(frozen=True, kw_only=True)
class BaselineCard:
    """What there is to know of a model besides its trees."""

    name: str
    """As in the name of its folder."""
    model: str
    """Name in MODELS."""
    features: str
    """What the set of features is called."""
    names: tuple[str, ...]
    formulas: dict[str, str] = field(default_factory=dict)
    """Of those features that are derived."""
    times: str = "onset"
    classes: tuple[str, ...] = CLASSES
    temperature: float = 1.0
    """What its logits are divided by, from calibration."""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    scores: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """What it was trained on: numbers of cells, digest of the training cells."""
    novelty: NoveltyRule = field(default_factory=NoveltyRule)
    probe: tuple[tuple[float, ...], ...] = ()
    """Probabilities of its first training cells."""
    versions: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    """Of the other files, by name."""
    format: str = FORMAT


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """A classifier with its card, and the cells it was fitted on."""

    classifier: Classifier
    card: BaselineCard
    novelty: Novelty
    X: Floats
    """(training cells, features)."""
    y: Ints

    def probabilities(self, X: Floats) -> Floats:
        """Return calibrated probabilities (cells, classes)."""
        return apply_temperature(self.classifier.logits(X), self.card.temperature)


def baseline_folder(models: Path, model: str, variant: str) -> Path:
    """Return where the model of a kind and a set of features is kept."""
    return models / f"{kind_of(model).title}_best_models" / variant


def save_baseline(folder: Path, model: Baseline) -> BaselineCard:
    """Write a model and return its card as written, with versions and sha256."""
    arrays = {f"novelty.{name}": each for name, each in model.novelty.arrays().items()}
    arrays |= {"X": model.X, "y": model.y.astype(np.int64)}
    own = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
    # All files are ready before any takes its place: the moment in which they do not belong
    # together is that between renames.
    with atomic_path(folder / CARD) as card_path, atomic_path(folder / CELLS) as cells_path:
        save_file(own, cells_path, metadata={"format": FORMAT})
        digests = {CELLS: sha256_of(cells_path)}
        if isinstance(model.classifier, Trees):
            write_text(folder / TREES, model.classifier.text())
            digests[TREES] = sha256_of(folder / TREES)
        card = replace(
            model.card,
            formulas={name: FORMULAS[name] for name in model.card.names if name in FORMULAS},
            novelty=model.novelty.rule,
            probe=_probe(model),
            versions={name: metadata.version(name) for name in LIBRARIES}
            | {"python": platform.python_version()},
            sha256=digests,
        )
        write_json(card_path, to_dict(card))
    return card


def _probe(model: Baseline) -> tuple[tuple[float, ...], ...]:
    found = model.probabilities(model.X[:PROBED])
    return tuple(tuple(float(value) for value in row) for row in found)


def load_baseline(folder: str | Path) -> Baseline:
    """Return the model of `folder`, checked to be whole; one without trees is fitted again."""
    folder = Path(folder)
    card = load_card(folder)
    for name, digest in card.sha256.items():
        if not (folder / name).is_file():
            raise StsError(f"no {folder / name} beside its {CARD}: {AGAIN}")
        if sha256_of(folder / name) != digest:
            raise StsError(
                f"{folder / name} is damaged or not the one that {CARD} describes (its sha256 "
                f"differs): {AGAIN} or copy all files anew"
            )
    arrays = _arrays(folder / CELLS)
    own = {name.removeprefix("novelty."): each for name, each in arrays.items()}
    X, y = arrays["X"], arrays["y"]
    model = Baseline(
        classifier=_classifier(folder, card, X, y),
        card=card,
        novelty=Novelty.of(card.novelty, own),
        X=X,
        y=y,
    )
    _check_probe(model, folder)
    return model


def load_card(folder: Path) -> BaselineCard:
    """Return the card of the model in `folder` alone, which is quick."""
    path = folder / CARD
    if not path.is_file():
        raise StsError(f"no model at {folder}: train it with `baseline_pipeline.py TRAIN`")
    values = read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise StsError(f"{path} is no card of format {FORMAT!r}: {AGAIN}")
    card = from_dict(BaselineCard, values, where=str(path))
    if CELLS not in card.sha256 or (card.model == "lightgbm") != (TREES in card.sha256):
        raise StsError(f"{path} does not name the files that belong to it: {AGAIN}")
    changed = [name for name, text in card.formulas.items() if FORMULAS.get(name) != text]
    if changed:
        raise StsError(f"{path}: this version derives {changed[0]} in another way: {AGAIN}")
    return card


def _arrays(path: Path) -> dict[str, Any]:
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise StsError(f"cannot read {path}: {AGAIN}") from error
    if missing := [name for name in ("X", "y") if name not in arrays]:
        raise StsError(f"{path} lacks {', '.join(missing)}: {AGAIN}")
    return arrays


def _classifier(folder: Path, card: BaselineCard, X: Floats, y: Ints) -> Classifier:
    if card.model == "lightgbm":
        trees = Trees.of((folder / TREES).read_text(encoding="utf-8"))
        if tuple(trees.booster.feature_name()) != card.names:
            raise StsError(f"{folder / TREES} takes other features than {CARD} says: {AGAIN}")
        return trees
    kind = kind_of(card.model)
    settings = kind.configured(card.settings, where=str(folder / CARD))
    return kind.fit(X, y, settings, seed=card.seed, names=card.names)


def _check_probe(model: Baseline, folder: Path) -> None:
    now = np.array(_probe(model))
    then = np.array(model.card.probe)
    if now.shape != then.shape or not np.allclose(now, then, rtol=0, atol=ALIKE):
        there = ", ".join(f"{name} {number}" for name, number in model.card.versions.items())
        raise StsError(
            f"the model in {folder} says other than it did when it was stored under {there}: "
            f"{AGAIN}, or install these versions"
        )
