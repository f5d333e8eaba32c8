"""A trained network on disk: model.safetensors, and model.json with its digest."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

import torch
from torch import nn

from sts.base.errors import StsError
from sts.base.model_files import (
    CARD,
    TENSORS,
    check_plain_name,
    library_versions,
    read_arrays,
    read_card,
    write_model,
)
from sts.base.settings import BelowOne, Bounds, check_fields, shorten
from sts.base.types import CLASSES
from sts.evaluation.calibration import OwnProbabilities, Temperature
from sts.evaluation.neighbours import NOVELTY, NoveltyRule
from sts.learning.training import arrays_of, load_arrays
from sts.networks.backbones import BACKBONES, Architecture, find_head, make_network, place_network
from sts.networks.novelty import NetworkNovelty
from sts.networks.settings import TrainSettings
from sts.scalograms.image import ImageSettings

NETWORK_FORMAT: Final = "sts-network 1"
# Libraries whose versions are stored with a model.
NETWORK_LIBRARIES: Final = ("numpy", "torch", "torchvision")
# Advice at the end of messages about a damaged model.
RETRAIN_NETWORK: Final = "train the model again"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The description of a network: everything except its weights."""

    name: str
    architecture: Architecture
    images: ImageSettings
    """The settings of images, with mean and deviation of the training images."""
    classes: tuple[str, ...] = CLASSES
    dropout: BelowOne = 0.0
    temperature: Temperature = 1.0
    """Divisor of the logits, from calibration."""
    own_probabilities: OwnProbabilities = ()
    """Of calibration cells, for prediction sets; empty for a model without such cells."""
    settings: TrainSettings | None = None
    """None for an imported model."""
    epochs: Annotated[int, Bounds(0, 1_000_000)] = 0
    origin: str = "trained here"
    scores: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """Training data: numbers of cells, digest of the store."""
    novelty: NoveltyRule | None = None
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    """Of model.safetensors."""
    format: str = NETWORK_FORMAT

    def __post_init__(self) -> None:
        """Raise an error for impossible numbers."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A network with its card and its novelty rule."""

    network: nn.Module
    card: ModelCard
    novelty: NetworkNovelty | None = None


def model_folder(models: Path, architecture: Architecture, name: str | None = None) -> Path:
    """Return the folder of the model with a network and freeze level, or with a name."""
    last = architecture.freeze if name is None else check_plain_name(name)
    return models / f"{architecture.backbone.name}_best_models" / last


def save_model(folder: Path, model: Model) -> ModelCard:
    """Write a model and return its card as written, with versions and sha256."""
    arrays = arrays_of(model.network)
    if model.novelty is not None:
        arrays |= {f"{NOVELTY}{name}": value for name, value in model.novelty.arrays().items()}
    with write_model(folder) as files:
        digest = files.add_arrays(TENSORS, arrays, form=NETWORK_FORMAT)
        card = replace(
            model.card,
            novelty=None if model.novelty is None else model.novelty.rule,
            versions=library_versions(NETWORK_LIBRARIES),
            sha256=digest,
        )
        files.add_card(card)
    return card


def load_model(
    folder: str | Path, *, wanted: Architecture | None = None, device: torch.device | str = "cpu"
) -> Model:
    """Return the model in `folder`; a damaged model or another network is an error."""
    folder = Path(folder)
    card = load_network_card(folder, wanted=wanted)
    path = folder / TENSORS
    arrays = read_arrays(path, digest=card.sha256, again=RETRAIN_NETWORK)
    network = make_network(replace(card.architecture, weights="none"), dropout=card.dropout)
    weights = {name: value for name, value in arrays.items() if not name.startswith(NOVELTY)}
    try:
        load_arrays(network, weights)
    except ValueError as error:
        raise StsError(
            f"{path} does not contain a {card.name}: {error}: {RETRAIN_NETWORK}"
        ) from error
    novelty = None
    if card.novelty is not None:
        rest = {name[len(NOVELTY) :]: v for name, v in arrays.items() if name.startswith(NOVELTY)}
        novelty = NetworkNovelty.of(card.novelty, rest)
        head = find_head(network)[-1].get_parameter("weight")
        if len(novelty.mean) != head.shape[1]:
            raise StsError(
                f"{path}: novelty is not of the features of a {card.name}: {RETRAIN_NETWORK}"
            )
    return Model(network=place_network(network, device), card=card, novelty=novelty)


def load_network_card(folder: Path, *, wanted: Architecture | None = None) -> ModelCard:
    """Return only the card of the model in `folder`, which is fast."""
    number = next(iter(BACKBONES)) if wanted is None else wanted.number
    freeze = "NONE" if wanted is None else wanted.freeze
    advice = (
        f"train it with `sts_pipeline.py {number} TRAIN {freeze}`, or add the published one with "
        "`data_pipeline.py import-models`"
    )
    card = read_card(folder, ModelCard, form=NETWORK_FORMAT, missing=advice, again=RETRAIN_NETWORK)
    path = folder / CARD
    if card.name != card.architecture.backbone.name:
        raise StsError(f"{path} contradicts itself: {RETRAIN_NETWORK}")
    if card.classes != CLASSES or card.architecture.classes != len(CLASSES):
        raise StsError(
            f"{path} must name the classes {', '.join(CLASSES)} in this order, not "
            f"{shorten(list(card.classes))}: {RETRAIN_NETWORK}"
        )
    card.architecture.check_size(card.images.height, card.images.width)
    if wanted is not None and (
        (wanted.number, wanted.freeze) != (card.architecture.number, card.architecture.freeze)
    ):
        raise StsError(
            f"{folder} contains {card.name} {card.architecture.freeze}, "
            f"expected {wanted.backbone.name} {wanted.freeze}: {advice}"
        )
    return card
