"""A latent diffusion model of spike counts: its samples, matched to those of a recording."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sts.base.types import Floats, Ints
from sts.calcium.compare import PopulationMeasures, compare_populations, measure_population
from sts.calcium.dichotomised import SpikeStatistics, dichotomised_gaussian, estimate_chances
from sts.calcium.history import HistoryModel, SharedNoise
from sts.calcium.latents import LatentDenoiser, LatentSettings, SpikeAutoencoder, sample_latents

# Windows that are drawn at once.
LATENTS_AT_ONCE: Final = 256
# Frames of samples to which rates are matched, and how often.
MATCHED_FRAMES: Final = 20_000
MATCHINGS: Final = 2
# What is tried: strengths of the history, sizes of the latents, parts and memories of the noise.
HISTORY_STRENGTHS: Final = (0.0, 0.5, 1.0)
LATENT_SIZES: Final = (0.7, 1.0, 1.4)
NOISE_PARTS: Final = (0.5, 1.0)
NOISE_KEEPS: Final = (0.0, 0.4, 0.7)
# Differences from the training windows by which they are chosen, and the smallest that counts.
MATCHED_QUANTITIES: Final = (
    *("counts", "together", "correlations"),
    *("autocorrelation", "neuron_autocorrelation"),
)
LEAST_ERROR: Final = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentDiffusion:
    """A trained model: both networks, the scale of the latents, and the history of spikes."""

    settings: LatentSettings
    autoencoder: SpikeAutoencoder
    denoiser: LatentDenoiser
    mean: Floats
    """(latents,) in the training stretch."""
    root: Floats
    """(latents, latents) square root of the covariances there: it makes latents of white ones."""
    history: HistoryModel
    noise: SharedNoise
    """Of counts that latents and history do not explain."""
    shares: Floats
    """(stretches,) of the frames of the training stretch; empty if the settings have none."""

    def sample(
        self, count: int, frames: int, rng: np.random.Generator, stretch: int | None = None
    ) -> Ints:
        """Return counts (count, neurons, frames), of any number of frames.

        Parameters
        ----------
        stretch
            All windows are of this one, counted from 0; None: of each as often as in training.
        """
        drawn = self.draw_latents(count, frames, rng, stretch)
        return np.concatenate([self.observe(latents, rng) for latents in drawn])

    def draw_latents(
        self, count: int, frames: int, rng: np.random.Generator, stretch: int | None = None
    ) -> Iterator[Tensor]:
        """Yield white latents (n, latents, frames)."""
        for begin in range(0, count, LATENTS_AT_ONCE):
            size = min(LATENTS_AT_ONCE, count - begin)
            stretches = None
            if len(self.shares):
                shares = self.shares if stretch is None else np.eye(len(self.shares))[stretch]
                stretches = torch.from_numpy(rng.choice(len(shares), size, p=shares))
            random = torch.Generator().manual_seed(int(rng.integers(2**63)))
            yield sample_latents(self.denoiser, self.settings, size, frames, random, stretches)

    @torch.inference_mode()
    def observe(self, white: Tensor, rng: np.random.Generator) -> Ints:
        """Return counts (n, neurons, frames) that follow white latents."""
        latents = torch.from_numpy(self.root) @ white + torch.from_numpy(self.mean)[:, None]
        drive = self.autoencoder.decode(latents).log().double().numpy()
        return self.history.sample(len(drive), drive.shape[-1], rng, drive, self.noise)


def match_samples(
    model: LatentDiffusion, training: Sequence[Ints], *, length: int, rate_hz: float
) -> LatentDiffusion:
    """Return a model whose samples have rates and coincidences of the training stretch.

    Spike history is fitted to recorded spikes. Its own spikes feed back: rates grow, and what
    history explains, sampled latents explain a second time. Bursts of a few frames are too fast for
    latents. So these are fitted to samples of the model: the rate of each neuron, the strength of
    the history, the size of the latents, and noise that neurons share, with its memory.
    """
    rng = np.random.default_rng(model.settings.seed)
    windows = np.concatenate([_cut_piece(piece, length) for piece in training])
    matching = _Matching(
        latents=list(model.draw_latents(math.ceil(MATCHED_FRAMES / length), length, rng)),
        training=training,
        real=measure_population(windows, rate_hz),
        rate_hz=rate_hz,
        rng=rng,
    )
    model, drawn = matching.choose(
        replace(model, history=model.history.weaken(strength), root=np.float32(size) * model.root)
        for strength in HISTORY_STRENGTHS
        for size in LATENT_SIZES
    )
    shared = _fit_shared(training, drawn)
    noises = [
        SharedNoise(correlations=part * shared + (1 - part) * np.eye(len(shared)), keep=keep)
        for part in NOISE_PARTS
        for keep in NOISE_KEEPS
    ]
    model, _ = matching.choose(replace(model, noise=noise) for noise in (model.noise, *noises))
    return matching.correct(model)[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Matching:
    """Latents from which samples are made, and what they are compared with."""

    latents: list[Tensor]
    training: Sequence[Ints]
    real: PopulationMeasures
    """Of the training windows."""
    rate_hz: float
    rng: np.random.Generator

    def correct(self, model: LatentDiffusion) -> tuple[LatentDiffusion, Ints]:
        """Return the model with corrected rates, and samples from before the last correction."""
        for _ in range(MATCHINGS):
            drawn = np.concatenate([model.observe(each, self.rng) for each in self.latents])
            model = replace(model, history=model.history.correct_rates(self.training, drawn))
        return model, drawn

    def choose(self, tried: Iterable[LatentDiffusion]) -> tuple[LatentDiffusion, Ints]:
        """Return the model whose samples are most like the training windows, and its samples."""
        found = []
        for changed, drawn in map(self.correct, tried):
            errors = compare_populations(self.real, measure_population(drawn, self.rate_hz))
            # Logarithms: a difference counts relative to its size, whatever its unit.
            score = sum(math.log(max(errors[name], LEAST_ERROR)) for name in MATCHED_QUANTITIES)
            found.append((score, changed, drawn))
        return min(found, key=lambda each: each[0])[1:]


def _cut_piece(piece: Ints, length: int) -> Ints:
    """Return the windows (n, neurons, length) of a piece (neurons, frames)."""
    return (
        piece[:, : piece.shape[1] // length * length].reshape(len(piece), -1, length).swapaxes(0, 1)
    )


def _fit_shared(training: Sequence[Ints], drawn: Ints) -> Floats:
    """Return latent correlations that add the covariances in a frame which samples do not have.

    They are shrunk by the part that random errors of a recording of this length would give.
    """
    real, made = (np.concatenate(list(each), axis=1) > 0 for each in (training, drawn))
    neurons, frames = real.shape
    chances = estimate_chances(real)
    lacking = np.cov(real) - np.cov(made)
    np.fill_diagonal(lacking, 0.0)
    scale = chances * (1 - chances)
    square = float((lacking**2 / np.outer(scale, scale)).sum())
    kept = max(0.0, 1 - neurons * (neurons - 1) / frames / max(square, 1e-12))
    asked = SpikeStatistics(rates_hz=chances, covariances=kept * lacking, rate_hz=1.0)
    return dichotomised_gaussian(asked, clip=True).latent.matrix
