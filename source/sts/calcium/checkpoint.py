"""A trained generator on disk: model.safetensors, and model.json with its digest."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
from torch import nn

from sts.base.errors import StsError
from sts.base.model_files import (
    CARD,
    TENSORS,
    check_arrays,
    check_plain_name,
    library_versions,
    read_arrays,
    read_card,
    write_model,
)
from sts.base.settings import Bounds, Positive, check_fields
from sts.base.types import Floats
from sts.calcium.fluorescence import OasisSettings
from sts.calcium.networks import (
    NetworkSettings,
    WindowCritic,
    WindowGenerator,
    make_networks,
    sample_windows,
)
from sts.calcium.train import GanTrainSettings
from sts.calcium.windows import Scale, WindowSettings
from sts.learning.training import arrays_of, forms_of, load_arrays

GENERATOR_FORMAT: Final = "sts-calcium-gan 1"
# Folder of the generators in models/.
GENERATOR_FOLDER: Final = "CalciumGAN"
# Libraries whose versions are stored with a model.
GENERATOR_LIBRARIES: Final = ("numpy", "torch")
# Advice at the end of messages about a damaged model.
RETRAIN_GENERATOR: Final = "train it again with `calcium_gan.py train`"


@dataclass(frozen=True, kw_only=True)
class GanCard:
    """The description of a generator: everything except its weights."""

    name: str
    networks: NetworkSettings
    windows: WindowSettings
    oasis: OasisSettings
    """Deconvolution of its traces, in physical units."""
    rate_hz: Positive
    unit: str = ""
    neurons: tuple[str, ...] = ()
    settings: GanTrainSettings
    best_step: Annotated[int, Bounds(0, 1e9)] = 0
    score: float = 0.0
    """Validation score at the best step."""
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    """Of model.safetensors."""
    format: str = GENERATOR_FORMAT

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class CalciumGan:
    """A generator with its critic, its card and the scale of its neurons."""

    generator: WindowGenerator
    critic: WindowCritic
    scale: Scale
    card: GanCard

    def generate(self, count: int, *, seed: int) -> Floats:
        """Return windows (count, neurons, length) in physical units."""
        return self.scale.undo(sample_windows(self.generator, count, seed=seed))


def gan_folder(models: Path, name: str) -> Path:
    """Return the folder of the generator with this name."""
    return models / GENERATOR_FOLDER / check_plain_name(name)


def save_gan(folder: Path, gan: CalciumGan) -> GanCard:
    """Write a generator and return its card as written."""
    arrays = arrays_of(_join(gan.generator, gan.critic))
    arrays |= {"scale.low": gan.scale.low, "scale.high": gan.scale.high}
    with write_model(folder) as files:
        digest = files.add_arrays(TENSORS, arrays, form=GENERATOR_FORMAT)
        card = replace(gan.card, versions=library_versions(GENERATOR_LIBRARIES), sha256=digest)
        files.add_card(card)
    return card


def load_gan(folder: Path) -> CalciumGan:
    """Return the generator in `folder`; a damaged generator is an error."""
    card = read_card(
        folder, GanCard, form=GENERATOR_FORMAT, missing=RETRAIN_GENERATOR, again=RETRAIN_GENERATOR
    )
    if len(card.neurons) not in (0, card.networks.neurons):
        raise StsError(f"{folder / CARD} contradicts itself: {RETRAIN_GENERATOR}")
    path = folder / TENSORS
    arrays = read_arrays(path, digest=card.sha256, again=RETRAIN_GENERATOR)
    scale = {name: arrays.pop(f"scale.{name}", np.empty(0)) for name in ("low", "high")}
    neurons = (card.networks.neurons,)
    fits = scale["low"].shape == scale["high"].shape == neurons
    if not fits or not (scale["high"] > scale["low"]).all():
        raise StsError(f"{path} does not contain the scale of its {CARD}: {RETRAIN_GENERATOR}")
    try:
        # Sizes are compared before memory is allocated.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            empty = _join(WindowGenerator(card.networks), WindowCritic(card.networks))
        check_arrays(arrays, forms_of(empty))
    except ValueError as error:
        raise StsError(
            f"{path} does not contain the networks of its {CARD}: {RETRAIN_GENERATOR}"
        ) from error
    generator, critic = make_networks(card.networks, seed=0)
    load_arrays(_join(generator, critic), arrays)
    return CalciumGan(
        generator=generator.eval(), critic=critic.eval(), scale=Scale(**scale), card=card
    )


def _join(generator: WindowGenerator, critic: WindowCritic) -> nn.Module:
    """Return both networks as one, whose weights have the names in the file."""
    return nn.ModuleDict({"generator": generator, "critic": critic})
