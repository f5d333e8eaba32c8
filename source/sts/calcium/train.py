"""The training loop of generator against critic."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import StsError
from sts.base.progress import progress
from sts.base.types import Floats
from sts.calcium.networks import (
    COUNT,
    NetworkSettings,
    WindowCritic,
    WindowGenerator,
    sample_windows,
)
from sts.calcium.trainer import GanTrainer, GanTrainSettings
from sts.calcium.windows import Scale, Windows
from sts.learning.checkpoint import TrainingFile, TrainingProgress, make_key
from sts.learning.device import mix_seeds, multiply_in

logger = logging.getLogger("sts")

# Writing both networks of the published size takes a second: more often would cost time.
KEEP_EVERY_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Validation:
    """One validation."""

    step: int
    """Of the generator, counted from 1."""
    distance: float
    """How far apart the critic rates real and generated windows, on average."""
    generator_loss: float
    score: float
    """Of windows from the averaged generator against the validation windows; lower is better."""
    better: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedGan:
    """Both networks on the CPU: the averaged generator of the best validation, the last critic."""

    generator: WindowGenerator
    critic: WindowCritic
    checks: tuple[Validation, ...]
    best: Validation


def train_generator(
    windows: Windows,
    scale: Scale,
    *,
    sizes: NetworkSettings,
    settings: GanTrainSettings,
    score: Callable[[Floats], float],
    count: int = COUNT,
    device: torch.device | str = "cpu",
    state: Path | None = None,
    on_check: Callable[[Validation, Floats], None] | None = None,
) -> FittedGan:
    """Train on windows and return the best generator; one seed gives one result on a CPU.

    Parameters
    ----------
    score
        Takes generated windows in physical units, (count, neurons, frames); lower is better.
    state
        A file that the training is kept in, and that the same training goes on from.
    on_check
        Called after every validation, with the windows that were scored.
    """
    device = torch.device(device)
    if len(windows) == 0:
        raise ValueError("no window to train on")
    key = make_key(sizes, settings, windows.traces, windows.starts)
    file = TrainingFile(state, key, Validation, every_s=KEEP_EVERY_S)
    data = _Data(windows, scale, device)
    trainer = GanTrainer(sizes, settings, device, stretch=data.stretch)
    done = file.restore(trainer.state)
    if done.steps:
        logger.info("the training goes on after step %d", done.steps)
    with multiply_in(settings.precision, device), progress(settings.steps, "trained steps") as bar:
        bar.advance(done.steps)
        while done.steps < settings.steps:
            distance, loss = _train_step(trainer, data, done.steps)
            done = replace(done, steps=done.steps + 1)
            if done.steps % settings.check_every == 0 or done.steps == settings.steps:
                made = sample_windows(trainer.average, count, seed=(settings.seed, done.steps))
                fake = scale.undo(made)
                done = _validate(done, trainer, float(distance), float(loss), float(score(fake)))
                if on_check is not None:
                    on_check(done.records[-1], fake)
            file.keep(trainer.state, done)
            bar.advance(note=f"score {done.best_score:.3f}" if done.records else "")
    return _finish(trainer, done)


class _Data:
    """The traces in 0..1 on the device, and where training windows begin."""

    def __init__(self, windows: Windows, scale: Scale, device: torch.device) -> None:
        self._traces = torch.from_numpy(scale.apply(windows.traces)).to(device)
        self._starts = torch.from_numpy(windows.starts).to(device)
        self._length = windows.length
        first, last = int(windows.starts.min()), int(windows.starts.max())
        self.stretch = self._traces[:, first : last + windows.length]

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Return random windows (count, neurons, length)."""
        device = self._traces.device
        drawn = torch.randint(len(self._starts), (count,), generator=random, device=device)
        frames = self._starts[drawn][:, None] + torch.arange(self._length, device=device)
        return self._traces[:, frames].transpose(0, 1).contiguous()


def _train_step(trainer: GanTrainer, data: _Data, step: int) -> tuple[Tensor, Tensor]:
    """Return the critic's distance and the generator's loss in a step, counted from 0."""
    settings = trainer.settings
    # A generator of this step's own, so that a training goes on as if never stopped.
    seed = mix_seeds(settings.seed, step, dtype=np.uint64) >> 1
    random = torch.Generator(trainer.device).manual_seed(seed)
    trainer.set_rates(step)
    for _ in range(settings.critic_steps):
        distance = trainer.critic_step(data.draw(settings.batch, random), random)
    return distance, trainer.generator_step(random)


def _validate(
    done: TrainingProgress[Validation],
    trainer: GanTrainer,
    distance: float,
    loss: float,
    score: float,
) -> TrainingProgress[Validation]:
    """Return the progress with one validation more, and the best generator so far."""
    if not (math.isfinite(distance) and math.isfinite(loss)):
        raise StsError(f"the training diverged before step {done.steps}: lower the learning rate")
    record = Validation(
        step=done.steps,
        distance=distance,
        generator_loss=loss,
        score=score,
        better=done.is_better(score),
    )
    return done.add(record, better=record.better, score=score, network=trainer.average)


def _finish(trainer: GanTrainer, done: TrainingProgress[Validation]) -> FittedGan:
    if done.best is None:
        raise StsError("the score was never a number: lower the learning rate")
    trainer.average.load_state_dict(done.best_state)
    return FittedGan(
        generator=trainer.average.cpu().eval(),
        critic=trainer.critic.cpu().eval(),
        checks=done.records,
        best=done.best,
    )
