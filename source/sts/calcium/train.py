"""The training loop of generator against critic."""

import logging
import math
import time
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
from sts.calcium.generate import COUNT, sample
from sts.calcium.networks import Critic, Generator, NetworkSettings
from sts.calcium.progress import Check, Progress, key_of, read_progress, write_progress
from sts.calcium.rivals import Rivals, Tensors, TrainSettings
from sts.calcium.windows import Scale, Windows
from sts.learning.device import multiply_in

logger = logging.getLogger("sts")

# A training that was killed loses at most this and a step; writing more often would cost time.
KEEP_EVERY_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Both networks on the CPU: the averaged generator of the best validation, the last critic."""

    generator: Generator
    critic: Critic
    checks: tuple[Check, ...]
    best_step: int


def train(
    windows: Windows,
    scale: Scale,
    *,
    sizes: NetworkSettings,
    settings: TrainSettings,
    score: Callable[[Floats], float],
    count: int = COUNT,
    device: torch.device | str = "cpu",
    state: Path | None = None,
    on_check: Callable[[Check, Floats], None] | None = None,
) -> Fitted:
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
    keeper = _Keeper(state, key_of(sizes, settings, windows.traces, windows.starts))
    real = torch.from_numpy(scale.apply(windows.traces)).to(device)
    starts = torch.from_numpy(windows.starts).to(device)
    stretch = real[:, int(windows.starts.min()) : int(windows.starts.max()) + sizes.length]
    rivals = Rivals(sizes, settings, device, stretch=stretch)

    done = keeper.restore(rivals)
    with multiply_in(settings.precision, device), progress(settings.steps, "trained steps") as bar:
        bar.advance(done.step)
        while done.step < settings.steps:
            random = _random(settings.seed, done.step, device)
            rivals.cool(done.step)
            for _ in range(settings.critic_steps):
                distance = rivals.critic_step(_batch(real, starts, sizes, settings, random), random)
            loss = rivals.generator_step(random)
            done = replace(done, step=done.step + 1)
            if done.step % settings.check_every == 0 or done.step == settings.steps:
                fake = scale.undo(sample(rivals.average, count, seed=(settings.seed, done.step)))
                done = _checked(done, rivals, float(distance), float(loss), float(score(fake)))
                if on_check is not None:
                    on_check(done.checks[-1], fake)
            keeper.keep(rivals, done)
            bar.advance(note=f"score {done.best_score:.3f}" if done.checks else "")
    return _fitted(rivals, done)


def _checked(
    done: Progress, rivals: Rivals, distance: float, loss: float, score: float
) -> Progress:
    """Return the progress with one validation more, and the best generator so far."""
    if not (math.isfinite(distance) and math.isfinite(loss)):
        raise StsError(f"the training diverged before step {done.step}: lower the learning rate")
    found = Check(
        step=done.step,
        distance=distance,
        generator_loss=loss,
        score=score,
        better=score < done.best_score,
    )
    best = _copy(rivals.average.state_dict()) if found.better else done.best
    return replace(done, checks=(*done.checks, found), best=best)


def _fitted(rivals: Rivals, done: Progress) -> Fitted:
    rivals.average.load_state_dict(done.best)
    return Fitted(
        generator=rivals.average.cpu().eval(),
        critic=rivals.critic.cpu().eval(),
        checks=done.checks,
        best_step=done.best_step,
    )


def _batch(
    real: Tensor,
    starts: Tensor,
    sizes: NetworkSettings,
    settings: TrainSettings,
    random: torch.Generator,
) -> Tensor:
    """Return random windows (B, neurons, length)."""
    drawn = torch.randint(len(starts), (settings.batch,), generator=random, device=real.device)
    frames = starts[drawn][:, None] + torch.arange(sizes.length, device=real.device)
    return real[:, frames].transpose(0, 1).contiguous()


def _random(seed: int, step: int, device: torch.device) -> torch.Generator:
    """Return a generator of this step's own, so that a training goes on as if never stopped."""
    mixed = int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator(device).manual_seed(mixed)


def _copy(tensors: Tensors) -> Tensors:
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}


class _Keeper:
    """The file that a training is kept in, if there is one."""

    def __init__(self, path: Path | None, key: str) -> None:
        self._path, self._key = path, key
        self._written = time.monotonic()

    def restore(self, rivals: Rivals) -> Progress:
        """Return how far the training had come."""
        found = None if self._path is None else read_progress(self._path, self._key)
        if found is None:
            return Progress()
        done, tensors = found
        rivals.restore(tensors)
        logger.info("the training goes on after step %d", done.step)
        return done

    def keep(self, rivals: Rivals, done: Progress) -> None:
        """Write how far the training has come, unless that was done a moment ago."""
        if self._path is not None and time.monotonic() - self._written >= KEEP_EVERY_S:
            write_progress(self._path, self._key, done, rivals.tensors())
            self._written = time.monotonic()
