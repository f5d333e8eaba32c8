"""A trained network on disk: model.safetensors and model.json, which vouch for each other."""

import platform
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from sts.base.errors import StsError
from sts.base.files import atomic_path, read_json, sha256_of, write_json
from sts.base.settings import from_dict, to_dict
from sts.base.types import CLASSES
from sts.networks.backbones import BACKBONES, Architecture, make_network, placed
from sts.networks.novelty import Novelty, NoveltyRule
from sts.networks.settings import TrainSettings
from sts.scalograms.image import ImageSettings

FORMAT: Final = "sts-network 1"
TENSORS: Final = "model.safetensors"
CARD: Final = "model.json"
NOVELTY: Final = "novelty."
LIBRARIES: Final = ("numpy", "torch", "torchvision")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What there is to know of a network besides its weights."""

    name: str
    architecture: Architecture
    images: ImageSettings
    """How its images are made, with the mean and deviation it was trained with."""
    classes: tuple[str, ...] = CLASSES
    dropout: float = 0.0
    temperature: float = 1.0
    """What its logits are divided by, from calibration."""
    settings: TrainSettings | None = None
    """None for a model that others trained."""
    epochs: int = 0
    origin: str = "trained here"
    scores: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """What it was trained on: numbers of cells, digest of the store."""
    novelty: NoveltyRule | None = None
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    """Of model.safetensors."""
    format: str = FORMAT


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A network with its card, and what it knows of its training cells."""

    network: nn.Module
    card: ModelCard
    novelty: Novelty | None = None


def model_folder(models: Path, architecture: Architecture) -> Path:
    """Return where the model of a network and freeze level is kept."""
    return models / f"{architecture.backbone.name}_best_models" / architecture.freeze


def save_model(folder: Path, model: Model) -> ModelCard:
    """Write a model and return its card as written, with versions and sha256."""
    tensors = {name: value.cpu().contiguous() for name, value in model.network.state_dict().items()}
    if model.novelty is not None:
        tensors |= {f"{NOVELTY}{name}": value for name, value in model.novelty.tensors().items()}
    # Both files are ready before either takes its place: the moment in which they do not belong
    # together is that between two renames.
    with atomic_path(folder / CARD) as card_path, atomic_path(folder / TENSORS) as tensors_path:
        safetensors.torch.save_file(tensors, tensors_path, metadata={"format": FORMAT})
        card = replace(
            model.card,
            novelty=None if model.novelty is None else model.novelty.rule,
            versions={name: metadata.version(name) for name in LIBRARIES}
            | {"python": platform.python_version()},
            sha256=sha256_of(tensors_path),
        )
        write_json(card_path, to_dict(card))
    return card


def load_model(
    folder: str | Path, *, wanted: Architecture | None = None, device: torch.device | str = "cpu"
) -> Model:
    """Return the model of `folder`, checked to be whole and, where given, of the wanted network."""
    folder = Path(folder)
    card = load_card(folder, wanted=wanted)
    path = folder / TENSORS
    if not path.is_file():
        raise StsError(f"no {path} beside its {CARD}: train the model again")
    if sha256_of(path) != card.sha256:
        raise StsError(
            f"{path} is damaged or not the one that {CARD} describes (its sha256 differs): "
            "train the model again or copy both files anew"
        )
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise StsError(f"cannot read {path}: train the model again") from error
    known = {name: value for name, value in tensors.items() if not name.startswith(NOVELTY)}
    rest = {name[len(NOVELTY) :]: v for name, v in tensors.items() if name.startswith(NOVELTY)}
    network = make_network(replace(card.architecture, weights="none"), dropout=card.dropout)
    try:
        network.load_state_dict(known)
    except RuntimeError as error:
        raise StsError(f"{path} does not hold a {card.name}: train the model again") from error
    return Model(
        network=placed(network, device),
        card=card,
        novelty=None if card.novelty is None else Novelty.of(card.novelty, rest),
    )


def load_card(folder: Path, *, wanted: Architecture | None = None) -> ModelCard:
    """Return the card of the model in `folder` alone, which is quick."""
    path = folder / CARD
    if not path.is_file():
        raise StsError(f"no model at {folder}: {_how_to_get(wanted)}")
    values = read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise StsError(f"{path} is no card of format {FORMAT!r}: train the model again")
    card = from_dict(ModelCard, values, where=str(path))
    if (
        card.name != card.architecture.backbone.name
        or len(card.classes) != card.architecture.classes
    ):
        raise StsError(f"{path} contradicts itself: train the model again")
    if wanted is not None and (
        (wanted.number, wanted.freeze) != (card.architecture.number, card.architecture.freeze)
    ):
        raise StsError(
            f"{folder} holds {card.name} {card.architecture.freeze}, "
            f"wanted is {wanted.backbone.name} {wanted.freeze}: {_how_to_get(wanted)}"
        )
    return card


def _how_to_get(wanted: Architecture | None) -> str:
    number = next(iter(BACKBONES)) if wanted is None else wanted.number
    freeze = "NONE" if wanted is None else wanted.freeze
    return (
        f"train it with `sts_pipeline.py {number} TRAIN {freeze}`, or bring the published one with "
        "`data_pipeline.py import-models`"
    )
