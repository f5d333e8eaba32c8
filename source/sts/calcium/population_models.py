"""Models of spike counts behind one interface, and on disk: model.safetensors and its card."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, get_args

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import nn

from sts.base.errors import StsError, one_of
from sts.base.files import read_json
from sts.base.model_files import (
    CARD,
    MAX_CARD_BYTES,
    TENSORS,
    Arrays,
    check_arrays,
    library_versions,
    read_arrays,
    read_card,
    write_model,
)
from sts.base.settings import Bounds, Positive, check_fields
from sts.base.types import Floats, Ints
from sts.calcium.checkpoint import (
    GENERATOR_LIBRARIES,
    RETRAIN_GENERATOR,
    CalciumGan,
    load_gan,
)
from sts.calcium.dichotomised import (
    DichotomisedGaussian,
    NearestCorrelation,
    SpikeStatistics,
    dichotomised_gaussian,
    estimate_chances,
)
from sts.calcium.fluorescence import OasisSettings
from sts.calcium.history import MEMORIES_S, HistoryModel, SharedNoise, fit_history, match_rates
from sts.calcium.latent_model import LatentDiffusion
from sts.calcium.latents import LatentDenoiser, LatentSettings, SpikeAutoencoder
from sts.calcium.recording import MOST_SPIKES
from sts.calcium.windows import WindowSettings
from sts.learning.training import arrays_of, forms_of, load_arrays

PopulationKind = Literal["gaussian", "history", "ldns"]
POPULATION_KINDS: Final[tuple[PopulationKind, ...]] = get_args(PopulationKind)
POPULATION_FORMAT: Final = "sts-calcium-population 2"


class PopulationModel(Protocol):
    """What every model of spike counts can do."""

    def sample(self, count: int, frames: int, rng: np.random.Generator) -> Ints:
        """Return counts (count, neurons, frames)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianModel:
    """A dichotomised Gaussian: the rates and pairwise covariances of frames, and nothing else."""

    chances: Floats
    """(neurons,) of a spike in a frame."""
    latent: Floats
    """(neurons, neurons) latent correlations."""

    def sample(self, count: int, frames: int, rng: np.random.Generator) -> Ints:
        """Return counts (count, neurons, frames)."""
        neurons = len(self.chances)
        gaussian = DichotomisedGaussian(
            statistics=SpikeStatistics(
                rates_hz=self.chances, covariances=np.zeros((neurons, neurons)), rate_hz=1.0
            ),
            thresholds=ndtri(self.chances),
            latent=NearestCorrelation(matrix=self.latent, distance=0.0, largest_change=0.0),
        )
        trains = gaussian.sample(count * frames, rng).reshape(neurons, count, frames)
        return np.ascontiguousarray(trains.swapaxes(0, 1)).astype(np.int64)


def fit_gaussian(pieces: Sequence[Ints]) -> GaussianModel:
    """Fit a dichotomised Gaussian to counts (neurons, frames); several spikes count once.

    Covariances are shrunk towards independence as far as their errors ask (Ledoit and Wolf, 2004):
    most pairs of sparse neurons never spike together in a short recording, and no latent Gaussian
    could follow that.
    """
    binary = np.concatenate(pieces, axis=1) > 0
    chances = estimate_chances(binary)
    deviations = np.sqrt(chances * (1 - chances))
    kept = 1 - float(ledoit_wolf_shrinkage((binary / deviations[:, None]).T))
    shrunk = kept * np.cov(binary, bias=True)
    asked = SpikeStatistics(rates_hz=chances, covariances=shrunk, rate_hz=1.0)
    latent = dichotomised_gaussian(asked, clip=True).latent.matrix
    return GaussianModel(chances=chances, latent=latent)


@dataclass(frozen=True, kw_only=True)
class PopulationCard:
    """The description of a model of spike counts: everything except its numbers."""

    name: str
    model: PopulationKind
    neurons: tuple[str, ...]
    rate_hz: Positive
    windows: WindowSettings
    oasis: OasisSettings
    """How the spikes of fluorescence were found."""
    settings: LatentSettings = field(default_factory=LatentSettings)
    """Of `ldns`; other models have none."""
    most: Annotated[int, Bounds(1, MOST_SPIKES)] = 1
    """Most spikes of a neuron in a frame."""
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    """Of model.safetensors."""
    format: str = POPULATION_FORMAT

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        check_fields(self)
        one_of(self.model, POPULATION_KINDS, "model")
        if len(self.neurons) < 2:
            raise StsError("a model of a population needs 2 neurons")


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationGenerator:
    """A model of spike counts with its card."""

    model: PopulationModel
    card: PopulationCard

    def generate(
        self, count: int, *, seed: int, frames: int | None = None, stretch: int | None = None
    ) -> Ints:
        """Return counts (count, neurons, frames).

        Parameters
        ----------
        frames
            None: those of a window.
        stretch
            Of the training recording, counted from 1; None: of all.
        """
        rng, frames = np.random.default_rng(seed), frames or self.card.windows.length
        if stretch is None:
            return self.model.sample(count, frames, rng)
        known = self.card.settings.stretches if isinstance(self.model, LatentDiffusion) else 0
        if not 1 <= stretch <= known:
            raise StsError(
                f"{self.card.name} knows {known} stretches, not stretch {stretch}: train --model "
                "ldns with --stretches"
            )
        assert isinstance(self.model, LatentDiffusion)
        return self.model.sample(count, frames, rng, stretch - 1)


def save_population(folder: Path, generator: PopulationGenerator) -> PopulationCard:
    """Write a model and return its card as written."""
    with write_model(folder) as files:
        digest = files.add_arrays(TENSORS, _pack(generator.model), form=POPULATION_FORMAT)
        versions = library_versions(GENERATOR_LIBRARIES)
        card = replace(generator.card, versions=versions, sha256=digest)
        files.add_card(card)
    return card


def _pack(model: PopulationModel) -> Arrays:
    """Return the numbers of a model by name."""
    if isinstance(model, GaussianModel):
        return {"chances": model.chances, "latent": model.latent}
    if isinstance(model, HistoryModel):
        return {name: getattr(model, name) for name in ("weights", "keeps", "highest")}
    assert isinstance(model, LatentDiffusion)
    scale = {"scale.mean": model.mean, "scale.root": model.root}
    noise = model.noise
    scale |= {"scale.shared": noise.correlations, "scale.keep": np.array([noise.keep])}
    if len(model.shares):
        scale["scale.stretches"] = model.shares
    history = {f"history.{name}": each for name, each in _pack(model.history).items()}
    return arrays_of(_join(model.autoencoder, model.denoiser)) | scale | history


def load_population(folder: Path) -> PopulationGenerator:
    """Return the model of spike counts in `folder`; a damaged one is an error."""
    card = read_card(
        folder,
        PopulationCard,
        form=POPULATION_FORMAT,
        missing=RETRAIN_GENERATOR,
        again=RETRAIN_GENERATOR,
    )
    arrays = read_arrays(folder / TENSORS, digest=card.sha256, again=RETRAIN_GENERATOR)
    unpack: dict[str, Callable[[Arrays, PopulationCard], PopulationModel]] = {
        "gaussian": _unpack_gaussian,
        "history": _unpack_history,
        "ldns": _unpack_latents,
    }
    try:
        model = unpack[card.model](arrays, card)
    except (ValueError, KeyError) as error:
        raise StsError(
            f"{folder / TENSORS} does not contain the model of its {CARD}: {RETRAIN_GENERATOR}"
        ) from error
    return PopulationGenerator(model=model, card=card)


def load_generator(folder: Path) -> CalciumGan | PopulationGenerator:
    """Return the generator in `folder`, of traces or of spike counts."""
    card = None
    with contextlib.suppress(StsError, OSError):
        card = read_json(folder / CARD, max_bytes=MAX_CARD_BYTES)
    if isinstance(card, dict) and card.get("format") == POPULATION_FORMAT:
        return load_population(folder)
    return load_gan(folder)


def _unpack_gaussian(arrays: Arrays, card: PopulationCard) -> GaussianModel:
    neurons = len(card.neurons)
    forms: dict[str, tuple[int, ...]] = {"chances": (neurons,), "latent": (neurons, neurons)}
    check_arrays(arrays, {name: ("float64", shape) for name, shape in forms.items()})
    chances, latent = arrays["chances"], arrays["latent"]
    if not ((chances > 0) & (chances < 1)).all() or np.linalg.eigvalsh(latent)[0] <= 0:
        raise ValueError("no chances or no correlations")
    return GaussianModel(chances=chances, latent=latent)


def _unpack_history(arrays: Arrays, card: PopulationCard) -> HistoryModel:
    memories = len(MEMORIES_S)
    neurons = len(card.neurons)
    forms: dict[str, tuple[int, ...]] = {
        "weights": (neurons, 1 + memories),
        "keeps": (memories,),
        "highest": (neurons, memories),
    }
    check_arrays(arrays, {name: ("float64", shape) for name, shape in forms.items()})
    if not ((arrays["keeps"] > 0) & (arrays["keeps"] < 1)).all():
        raise ValueError("memories that do not fade")
    return HistoryModel(**arrays, most=card.most)


def _unpack_latents(arrays: Arrays, card: PopulationCard) -> LatentDiffusion:
    settings = card.settings
    # Sizes are compared before memory is allocated.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        empty = _join(*_make_networks(len(card.neurons), settings))
    rest: dict[str, Arrays] = {"history.": {}, "scale.": {}}
    for name in list(arrays):
        for prefix, taken in rest.items():
            if name.startswith(prefix):
                taken[name.removeprefix(prefix)] = arrays.pop(name)
    check_arrays(arrays, forms_of(empty))
    neurons = len(card.neurons)
    latents = settings.latents
    forms: dict[str, tuple[str, tuple[int, ...]]] = {
        "mean": ("float32", (latents,)),
        "root": ("float32", (latents, latents)),
        "shared": ("float64", (neurons, neurons)),
        "keep": ("float64", (1,)),
    }
    if settings.stretches:
        forms["stretches"] = ("float64", (settings.stretches,))
    check_arrays(rest["scale."], forms)
    shared, keep = rest["scale."].pop("shared"), float(rest["scale."].pop("keep")[0])
    shares = rest["scale."].pop("stretches", np.zeros(0))
    if np.linalg.eigvalsh(shared)[0] <= 0 or not 0 <= keep < 1:
        raise ValueError("no correlations of noise")
    if len(shares) and not ((shares > 0).all() and np.isclose(shares.sum(), 1)):
        raise ValueError("no parts of a whole")
    with torch.random.fork_rng(devices=[]):
        autoencoder, denoiser = _make_networks(len(card.neurons), settings)
    load_arrays(_join(autoencoder, denoiser), arrays)
    return LatentDiffusion(
        settings=settings,
        autoencoder=autoencoder.eval(),
        denoiser=denoiser.eval(),
        **rest["scale."],
        history=_unpack_history(rest["history."], card),
        noise=SharedNoise(correlations=shared, keep=keep),
        shares=shares,
    )


def _make_networks(
    neurons: int, settings: LatentSettings
) -> tuple[SpikeAutoencoder, LatentDenoiser]:
    return SpikeAutoencoder(neurons, settings), LatentDenoiser(settings)


def _join(autoencoder: SpikeAutoencoder, denoiser: LatentDenoiser) -> nn.ModuleDict:
    return nn.ModuleDict({"autoencoder": autoencoder, "denoiser": denoiser})


def fit_population(kind: PopulationKind, pieces: Sequence[Ints], rate_hz: float) -> PopulationModel:
    """Fit a model without training steps to counts (neurons, frames) without pauses."""
    if kind == "gaussian":
        return fit_gaussian(pieces)
    return match_rates(fit_history(pieces, rate_hz), pieces)
