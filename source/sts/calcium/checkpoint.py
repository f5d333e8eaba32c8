"""A trained generator on disk: model.safetensors and model.json, which vouch for each other."""

import platform
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from sts.base.errors import StsError
from sts.base.files import atomic_path, read_json, sha256_of, write_json
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats
from sts.calcium.deconvolve import OasisSettings
from sts.calcium.generate import sample
from sts.calcium.networks import Critic, Generator, NetworkSettings
from sts.calcium.rivals import TrainSettings, make_networks
from sts.calcium.windows import Scale, WindowSettings

FORMAT: Final = "sts-calcium-gan 1"
TENSORS: Final = "model.safetensors"
CARD: Final = "model.json"
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
    rate_hz: float
    unit: str = ""
    neurons: tuple[str, ...] = ()
    settings: TrainSettings
    best_step: int = 0
    score: float = 0.0
    """Validation score at the best step."""
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    """Of model.safetensors."""
    format: str = FORMAT


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
    return models / FOLDER / name


def save_gan(folder: Path, gan: CalciumGan) -> GanCard:
    """Write a generator and return its card as written."""
    parts = {"generator": gan.generator, "critic": gan.critic}
    tensors: dict[str, Tensor] = {
        f"{part}.{name}": value.cpu().contiguous()
        for part, network in parts.items()
        for name, value in network.state_dict().items()
    }
    tensors["scale.low"] = _tensor(gan.scale.low)
    tensors["scale.high"] = _tensor(gan.scale.high)
    # Both files are ready before either takes its place.
    with atomic_path(folder / CARD) as card_path, atomic_path(folder / TENSORS) as tensors_path:
        safetensors.torch.save_file(tensors, tensors_path, metadata={"format": FORMAT})
        card = replace(
            gan.card,
            versions={name: metadata.version(name) for name in LIBRARIES}
            | {"python": platform.python_version()},
            sha256=sha256_of(tensors_path),
        )
        write_json(card_path, to_dict(card))
    return card


def load_gan(folder: Path) -> CalciumGan:
    """Return the generator of `folder`, checked to be whole."""
    card = load_card(folder)
    path = folder / TENSORS
    if not path.is_file() or sha256_of(path) != card.sha256:
        raise StsError(f"{path} is missing, damaged or not the one of its {CARD}: {AGAIN}")
    try:
        tensors = safetensors.torch.load_file(path)
        generator, critic = make_networks(card.networks, seed=0)
        for part, network in (("generator", generator), ("critic", critic)):
            prefix = f"{part}."
            network.load_state_dict(
                {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
            )
        scale = Scale(low=tensors["scale.low"].numpy(), high=tensors["scale.high"].numpy())
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise StsError(f"{path} does not hold the networks of its {CARD}: {AGAIN}") from error
    return CalciumGan(generator=generator.eval(), critic=critic.eval(), scale=scale, card=card)


def load_card(folder: Path) -> GanCard:
    """Return the card alone, which is quick."""
    path = folder / CARD
    if not path.is_file():
        raise StsError(f"no generator at {folder}: {AGAIN}")
    values = read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise StsError(f"{path} is no card of format {FORMAT!r}: {AGAIN}")
    return from_dict(GanCard, values, where=str(path))


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(values.copy())
