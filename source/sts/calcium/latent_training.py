"""Training of a latent diffusion model: the autoencoder, then the diffusion of its latents."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sts.base.errors import StsError
from sts.base.progress import progress
from sts.base.types import Floats, Ints
from sts.calcium.history import HistoryModel, SharedNoise, fit_history
from sts.calcium.latent_model import LatentDiffusion, match_samples
from sts.calcium.latents import (
    LatentDenoiser,
    LatentSettings,
    SpikeAutoencoder,
    hide_counts,
    make_schedule,
    score_autoencoder,
    score_denoiser,
)
from sts.learning.device import mix_seeds
from sts.learning.training import (
    MovingAverage,
    TrainingFile,
    TrainingProgress,
    TrainingState,
    make_key,
)

logger = logging.getLogger("sts")

# Time between two writes of a training's state.
KEEP_LATENTS_EVERY_S: Final = 30.0
# Validations without a better autoencoder after which its training ends.
LATENT_PATIENCE: Final = 5
# Part of the steps, at the end, over which the learning rate falls to 0.
COOLED_STEPS: Final = 0.5
# Random parts of the counts that are hidden when latents and rates are measured.
MASKS: Final = 8
# Smallest variance of a direction of latents, relative to the largest.
LEAST_VARIANCE: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class LatentCheck:
    """The record of one validation."""

    step: int
    part: Literal["autoencoder", "diffusion"]
    loss: float
    """Error on the validation stretch."""
    better: bool


class LatentTrainer:
    """Both networks with their optimisers, and windows of the training stretch."""

    def __init__(
        self,
        training: Sequence[Ints],
        validation: Sequence[Ints],
        length: int,
        settings: LatentSettings,
        device: torch.device,
    ) -> None:
        self.settings, self.length, self.device = settings, length, device
        self._training = [torch.from_numpy(each).float().to(device) for each in training]
        self._validation = [torch.from_numpy(each).float().to(device) for each in validation]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.autoencoder = SpikeAutoencoder(len(training[0]), settings)
            self.denoiser = LatentDenoiser(settings)
        rates = np.concatenate(training, axis=1).mean(axis=1)
        self.autoencoder.begin_at(torch.from_numpy(rates).float())
        networks = {"autoencoder": self.autoencoder, "denoiser": self.denoiser}
        for network in networks.values():
            network.to(device)
        self._moving = MovingAverage(self.denoiser)
        self.average = self._moving.network
        self._left = make_schedule(settings, device)
        fused = device.type == "cuda"
        shared: dict[str, Any] = {"weight_decay": settings.decay, "fused": fused}
        self._optimisers = {
            name: torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, **shared)
            for name, network in networks.items()
        }
        self.state = TrainingState(
            networks={**networks, "average": self.average}, optimisers=self._optimisers
        )
        self._scale: tuple[Floats, Floats] | None = None
        self._white: list[Tensor] = []

    def seed(self, step: int) -> torch.Generator:
        """Return the random generator of a step: a resumed training gives the same result."""
        seed = mix_seeds(self.settings.seed, step, dtype=np.uint64) >> 1
        return torch.Generator(self.device).manual_seed(seed)

    def step_autoencoder(self, step: int) -> None:
        """Train the autoencoder on a batch."""
        random = self.seed(step)
        counts, _ = self._draw(self._training, random)
        error, penalty = score_autoencoder(self.autoencoder, counts, self.settings, random)
        self._cool("autoencoder", step / math.ceil(self.settings.steps / 2))
        self._update("autoencoder", self.autoencoder, error + penalty)

    def step_denoiser(self, step: int) -> None:
        """Train the diffusion model on a batch of latents of the finished autoencoder."""
        if not self._white:
            self._white = self._whiten_training()
        random = self.seed(step)
        latents, which = self._draw(self._white, random)
        # Each piece has latents for every mask.
        stretches = self._name_stretches(which // MASKS)
        loss = score_denoiser(self.denoiser, latents, self._left, random, stretches)
        done = step - math.ceil(self.settings.steps / 2)
        self._cool("denoiser", done / self.settings.steps)
        self._update("denoiser", self.denoiser, loss)
        # The average forgets its first weights, which are random, sooner.
        self._moving.follow(min(self.settings.average, (1 + done) / (10 + done)))

    def _cool(self, name: str, done: float) -> None:
        """Set the learning rate after this part of the steps."""
        share = min((1 - done) / COOLED_STEPS, 1.0)
        self._optimisers[name].param_groups[0]["lr"] = share * self.settings.learning_rate

    def _update(self, name: str, network: nn.Module, loss: Tensor) -> None:
        optimiser = self._optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch says no type
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()

    def _name_stretches(self, pieces: Tensor) -> Tensor | None:
        """Return the stretches of pieces by number, None if they are not told apart."""
        return pieces if self.settings.stretches else None

    def _draw(self, pieces: Sequence[Tensor], random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return random windows (batch, rows, length) of pieces (rows, frames), and which ones."""
        starts = torch.tensor([piece.shape[1] - self.length + 1 for piece in pieces])
        ends = starts.cumsum(0).to(self.device)
        drawn = torch.randint(
            int(ends[-1]), (self.settings.batch,), generator=random, device=self.device
        )
        which = torch.searchsorted(ends, drawn, right=True)
        windows = []
        for piece, place in zip(which.tolist(), drawn.tolist(), strict=True):
            begin = place - int(ends[piece] - starts[piece])
            windows.append(pieces[piece][:, begin : begin + self.length])
        return torch.stack(windows), which

    @torch.no_grad()
    def check_autoencoder(self) -> float:
        """Return the error of masked counts of the validation stretch, always the same ones."""
        errors = []
        for number, piece in enumerate(self._validation):
            random = torch.Generator(self.device).manual_seed(number)
            error, _ = score_autoencoder(self.autoencoder, piece[None], self.settings, random)
            errors.append(float(error))
        return float(np.mean(errors))

    @torch.no_grad()
    def check_denoiser(self) -> float:
        """Return the error of the averaged diffusion model on the validation stretch."""
        self._scale = scale = self._scale or self.scale_latents()
        errors = []
        for number, found in enumerate(self._encode_hidden(self._validation)):
            white, random = self._whiten(found[0], scale), found[2]
            which = self._name_stretches(torch.full((MASKS,), number, device=self.device))
            errors.append(float(score_denoiser(self.average, white, self._left, random, which)))
        return float(np.mean(errors))

    def _encode_hidden(
        self, pieces: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor, torch.Generator]]:
        """Yield latents and hidden counts of each piece, for always the same masks."""
        for number, piece in enumerate(pieces):
            random = torch.Generator(self.device).manual_seed(number)
            repeated = piece.expand(MASKS, -1, -1)
            shown, hidden = hide_counts(repeated, self.settings, random)
            yield self.autoencoder.encode(shown), hidden, random

    @torch.no_grad()
    def _whiten_training(self) -> list[Tensor]:
        """Return white latents (latents, frames) of the training stretch.

        They are those of counts that are partly hidden, as the autoencoder was trained: rates that
        are decoded from latents of all counts are too high, and each mask gives other latents.
        """
        self._scale = scale = self._scale or self.scale_latents()
        found = (latents for latents, *_ in self._encode_hidden(self._training))
        return [each for latents in found for each in self._whiten(latents, scale)]

    @staticmethod
    def _whiten(latents: Tensor, scale: tuple[Floats, Floats]) -> Tensor:
        mean, root = scale
        back = torch.from_numpy(np.linalg.inv(root)).to(latents.device)
        return back @ (latents - torch.from_numpy(mean).to(latents.device)[:, None])

    @torch.no_grad()
    def scale_latents(self) -> tuple[Floats, Floats]:
        """Return mean and root of the covariances of the latents in the training stretch."""
        rows = [each.transpose(0, 1).flatten(1) for each, *_ in self._encode_hidden(self._training)]
        latents = torch.cat(rows, dim=1).cpu().numpy()
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(latents)))
        deviations = np.sqrt(np.maximum(values, LEAST_VARIANCE * max(values[-1], 1e-6)))
        return latents.mean(axis=1), (vectors * deviations).astype(np.float32)

    @torch.no_grad()
    def fit_history(self, training: Sequence[Ints], rate_hz: float) -> HistoryModel:
        """Fit what a spike changes in the rates that the autoencoder gives without seeing it."""
        drives = []
        for latents, hidden, _ in self._encode_hidden(self._training):
            rates = self.autoencoder.decode(latents)
            unseen = (rates * hidden).sum(dim=0) / hidden.sum(dim=0).clamp_min(1)
            known = torch.where(hidden.any(dim=0), unseen, rates.mean(dim=0))
            drives.append(known.log().double().cpu().numpy())
        return fit_history(training, rate_hz, drives)


def train_latents(
    training: Sequence[Ints],
    validation: Sequence[Ints],
    *,
    length: int,
    rate_hz: float,
    settings: LatentSettings,
    device: torch.device | str = "cpu",
    state: Path | None = None,
) -> tuple[LatentDiffusion, tuple[LatentCheck, ...]]:
    """Train on counts (neurons, frames) without pauses; one seed gives one result on a CPU.

    Parameters
    ----------
    length
        Frames of the windows that are drawn from them.
    state
        A file that the training writes from time to time and resumes from.
    """
    if settings.stretches not in (0, len(training)):
        raise StsError(
            f"{settings.stretches} stretches are asked for, the recording has {len(training)} "
            "without a pause"
        )
    device = torch.device(device)
    trainer = LatentTrainer(training, validation, length, settings, device)
    key = make_key(settings, np.array(length), *training, *validation)
    file = TrainingFile(state, key, LatentCheck, every_s=KEEP_LATENTS_EVERY_S)
    done = file.restore(trainer.state)
    if done.steps:
        logger.info("the training resumes after step %d", done.steps)
    first = math.ceil(settings.steps / 2)
    with progress(first + settings.steps, "trained steps") as bar:
        bar.advance(done.steps)
        while done.steps < first + settings.steps:
            before = done.steps
            done = _train_latent_step(trainer, done, first)
            file.keep(trainer.state, done)
            bar.advance(done.steps - before)
    mean, root = trainer.scale_latents()
    model = LatentDiffusion(
        settings=settings,
        mean=mean,
        root=root,
        history=trainer.fit_history(training, rate_hz),
        noise=SharedNoise(correlations=np.eye(len(training[0]))),
        shares=measure_shares(training) if settings.stretches else np.zeros(0),
        autoencoder=trainer.autoencoder.cpu().eval(),
        denoiser=trainer.average.cpu().eval(),
    )
    return match_samples(model, training, length=length, rate_hz=rate_hz), done.records


def measure_shares(pieces: Sequence[Ints]) -> Floats:
    """Return the part of all frames that each piece has."""
    frames = np.array([each.shape[1] for each in pieces])
    return np.asarray(frames / frames.sum())


def _train_latent_step(
    trainer: LatentTrainer, done: TrainingProgress[LatentCheck], first: int
) -> TrainingProgress[LatentCheck]:
    """Run a step; the first `first` steps train the autoencoder, unless it is best before."""
    settings, autoencoder = trainer.settings, done.steps < first
    (trainer.step_autoencoder if autoencoder else trainer.step_denoiser)(done.steps)
    done = replace(done, steps=done.steps + 1)
    if done.steps % settings.check_every and done.steps not in (first, first + settings.steps):
        return done
    loss = trainer.check_autoencoder() if autoencoder else trainer.check_denoiser()
    if not math.isfinite(loss):
        raise StsError(f"the training diverged before step {done.steps}: lower the learning rate")
    better = autoencoder and done.is_better(loss)
    record = LatentCheck(
        step=done.steps,
        part="autoencoder" if autoencoder else "diffusion",
        loss=loss,
        better=better,
    )
    done = done.add(record, better=better, score=loss, network=trainer.autoencoder)
    ended = done.steps >= first or done.since_best >= LATENT_PATIENCE
    if autoencoder and ended:
        trainer.autoencoder.load_state_dict(done.best_state)
        # The diffusion model has its own steps, whenever the autoencoder ends.
        return replace(done, steps=first)
    return done
