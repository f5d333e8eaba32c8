"""A trained generator on disk: model.safetensors and model.json, which vouch for each other."""

import platform
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch

from sts.base.bounds import Bounds, Positive, check_fields
from sts.base.errors import StsError
from sts.base.model_files import (
    CARD,
    check_arrays,
    check_plain_name,
    read_arrays,
    read_card,
    write_model,
)
from sts.base.types import Floats
from sts.calcium.deconvolve import OasisSettings
from sts.calcium.generate import sample
from sts.calcium.networks import Critic, Generator, NetworkSettings
from sts.calcium.rivals import TrainSettings, make_networks
from sts.calcium.windows import Scale, WindowSettings

FORMAT: Final = "sts-calcium-gan 1"
TENSORS: Final = "model.safetensors"
FOLDER: Final = "CalciumGAN"
LIBRARIES: Final = ("numpy", "torch")
AGAIN: Final = "train it again with `calcium_gan.py train`"


@dataclass(frozen=True, kw_only=True)
class GanCard:
    """What there is to know of a generator besides its weights."""

    name: str
    networks: NetworkSettings
    windows: WindowSettings
    oasis: OasisSettings
    """How its traces are deconvolved, in physical units."""
    rate_hz: Positive
    unit: str = ""
    neurons: tuple[str, ...] = ()
    settings: TrainSettings
    best_step: Annotated[int, Bounds(0, 1e9)] = 0
    score: float = 0.0
    """Validation score at the best step."""
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    """Of model.safetensors."""
    format: str = FORMAT

    def __post_init__(self) -> None:
        """Refuse numbers that no training leaves behind."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class CalciumGan:
    """A generator with its critic, its card and the scale of its neurons."""

    generator: Generator
    critic: Critic
    scale: Scale
    card: GanCard

    def generate(self, count: int, *, seed: int) -> Floats:
        """Return windows (count, neurons, length) in physical units."""
        return self.scale.undo(sample(self.generator, count, seed=seed))


def gan_folder(models: Path, name: str) -> Path:
    """Return where the generator of a recording is kept."""
    return models / FOLDER / check_plain_name(name)


def save_gan(folder: Path, gan: CalciumGan) -> GanCard:
    """Write a generator and return its card as written."""
    arrays = {
        f"{part}.{name}": value.cpu().numpy()
        for part, network in {"generator": gan.generator, "critic": gan.critic}.items()
        for name, value in network.state_dict().items()
    }
    arrays |= {"scale.low": gan.scale.low, "scale.high": gan.scale.high}
    with write_model(folder) as files:
        digest = files.add_arrays(TENSORS, arrays, form=FORMAT)
        card = replace(
            gan.card,
            versions={name: metadata.version(name) for name in LIBRARIES}
            | {"python": platform.python_version()},
            sha256=digest,
        )
        files.add_card(card)
    return card


def load_gan(folder: Path) -> CalciumGan:
    """Return the generator of `folder`, checked to be whole."""
    card = load_card(folder)
    path = folder / TENSORS
    arrays = read_arrays(path, digest=card.sha256, again=AGAIN)
    scale = {name: arrays.pop(f"scale.{name}", np.empty(0)) for name in ("low", "high")}
    neurons = (card.networks.neurons,)
    fits = scale["low"].shape == scale["high"].shape == neurons
    if not fits or not (scale["high"] > scale["low"]).all():
        raise StsError(f"{path} does not hold the scale of its {CARD}: {AGAIN}")
    try:
        # Sizes are compared before anything of that size is made.
        check_arrays(arrays, _wanted(card.networks))
    except ValueError as error:
        raise StsError(f"{path} does not hold the networks of its {CARD}: {AGAIN}") from error
    generator, critic = make_networks(card.networks, seed=0)
    for part, network in (("generator", generator), ("critic", critic)):
        prefix = f"{part}."
        network.load_state_dict(
            {
                name.removeprefix(prefix): torch.from_numpy(value)
                for name, value in arrays.items()
                if name.startswith(prefix)
            }
        )
    return CalciumGan(
        generator=generator.eval(), critic=critic.eval(), scale=Scale(**scale), card=card
    )


def _wanted(sizes: NetworkSettings) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of all tensors of networks of these sizes, without making them."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        parts = {"generator": Generator(sizes), "critic": Critic(sizes)}
    return {
        f"{part}.{name}": (str(value.dtype).removeprefix("torch."), tuple(value.shape))
        for part, network in parts.items()
        for name, value in network.state_dict().items()
    }


def load_card(folder: Path) -> GanCard:
    """Return the card alone, which is quick."""
    card = read_card(folder, GanCard, form=FORMAT, missing=AGAIN, again=AGAIN)
    if len(card.neurons) not in (0, card.networks.neurons):
        raise StsError(f"{folder / CARD} contradicts itself: {AGAIN}")
    return card
