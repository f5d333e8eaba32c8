"""The one training loop of the deep generators: it stops when held-out rows say so."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sts.augment.rows import held_out_rows, seed_from
from sts.augment.settings import LoopSettings
from sts.base.types import Floats, Ints
from sts.learning.device import draw_from_seed
from sts.scalograms.traces import indices_on

# The running mean of the weights looks back on no more than a tenth of what has been.
WARM: Final = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Scores of some rows and the places of their classes."""

    scores: Tensor
    """(B, features)."""
    classes: Tensor
    """(B,)."""


class Network(nn.Module):
    """What draws scores, and knows how good it is."""

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return a row of scores for each class asked for, (B, features)."""
        raise NotImplementedError

    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return how far the network is from rows it has not seen; lower is better."""
        raise NotImplementedError

    def loss(self, batch: Batch, generator: torch.Generator, *, done: float) -> Tensor:
        """Return what going down makes the network better, when `done` of all steps are over."""
        return self.score(batch, generator)


class Learner(Protocol):
    """What makes a network better, a batch at a time."""

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Learn from a batch when the part `done` of all steps is over."""
        ...


class Descent:
    """One optimiser on one loss."""

    def __init__(self, network: Network, loop: LoopSettings) -> None:
        self._network, self._loop = network, loop
        self._optimiser = adam(network, loop)

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Learn from a batch when the part `done` of all steps is over."""
        self._optimiser.zero_grad()
        self._network.loss(batch, generator, done=done).backward()  # type: ignore[no-untyped-call]
        # One strange row must not throw away what was learned.
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        set_rate(self._optimiser, self._loop, done)
        self._optimiser.step()


def adam(
    network: nn.Module, loop: LoopSettings, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Return the optimiser of a network."""
    return torch.optim.AdamW(
        network.parameters(),
        lr=loop.learning_rate,
        weight_decay=loop.weight_decay,
        betas=betas,
        fused=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, loop: LoopSettings, done: float) -> None:
    """Let the learning rate fall in a straight line, to nothing at the end of all steps."""
    for group in optimiser.param_groups:
        group["lr"] = loop.learning_rate * (1 - done)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What held-out rows said after some steps."""

    steps: int
    score: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """How a training went; the network is as it was at the best check."""

    checks: tuple[Check, ...]
    best: Check | None
    """None where no class has a row to spare: all steps were run."""


def train(
    network: Network,
    learner: Learner,
    scores: Floats,
    classes: Ints,
    *,
    loop: LoopSettings,
    rng: np.random.Generator,
) -> Course:
    """Train until held-out rows are no better described, and go back to the best check.

    Raises
    ------
    FloatingPointError
        The score was never finite.
    """
    device = next(network.parameters()).device
    trained, judged = held_out_rows(classes, loop.held_out, rng)
    rows = _batch(scores, classes, device)
    generator = torch.Generator(device).manual_seed(seed_from(rng))
    judge = seed_from(rng)
    chances = _chances(classes[trained], loop.balance)
    keeper = _Keeper(network, loop)
    with draw_from_seed(seed_from(rng), device):
        for step in range(1, loop.steps + 1):
            chosen = _at(rows, rng.choice(trained, size=loop.batch, p=chances))
            network.train()
            learner.step(chosen, generator, done=step / loop.steps)
            keeper.follow(step)
            if len(judged) and (step % loop.check_every == 0 or step == loop.steps):
                keeper.check(step, _at(rows, judged), seed=judge)
                if keeper.is_spent:
                    break
    return keeper.finish(judged)


class _Keeper:
    """The running mean of a network's weights, and the best one so far."""

    def __init__(self, network: Network, loop: LoopSettings) -> None:
        self._network, self._loop = network, loop
        self._mean = _copied(network)
        self._best: dict[str, Tensor] = {}
        self._checks: list[Check] = []
        self._best_check = Check(steps=0, score=math.inf)

    @property
    def is_spent(self) -> bool:
        """Return whether the last checks brought nothing better."""
        since = [check for check in self._checks if check.steps > self._best_check.steps]
        return len(since) >= self._loop.patience

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Let the mean follow the weights, faster while they are young."""
        decay = min(self._loop.average, step / (step + WARM))
        state = self._network.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self._mean[name] for name in moving], [state[name] for name in moving], 1 - decay
        )

    @torch.no_grad()
    def check(self, step: int, judged: Batch, *, seed: int) -> None:
        """Score the mean on held-out rows, always with the same random numbers."""
        running = _copied(self._network)
        self._network.load_state_dict(self._mean)
        self._network.eval()
        generator = torch.Generator(judged.scores.device).manual_seed(seed)
        score = float(self._network.score(judged, generator))
        self._checks.append(Check(steps=step, score=score))
        if score < self._best_check.score:
            self._best_check, self._best = self._checks[-1], _copied(self._network)
        self._network.load_state_dict(running)

    def finish(self, judged: Sequence[int] | Ints) -> Course:
        """Leave the network at its best, in evaluation mode."""
        if len(judged) and not self._best:
            raise FloatingPointError("held-out scores were never finite: lower the learning rate")
        self._network.load_state_dict(self._best if len(judged) else self._mean)
        self._network.eval()
        best = self._best_check if len(judged) else None
        return Course(checks=tuple(self._checks), best=best)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _batch(scores: Floats, classes: Ints, device: torch.device) -> Batch:
    return Batch(
        scores=torch.as_tensor(scores, dtype=torch.float32, device=device),
        classes=torch.as_tensor(classes, dtype=torch.int64, device=device),
    )


def _at(rows: Batch, places: Ints) -> Batch:
    at = indices_on(places, rows.classes.device)
    return Batch(scores=rows.scores[at], classes=rows.classes[at])


def _chances(classes: Ints, balance: float) -> Floats:
    """Return how often each row is met, between as common and equally often for its class."""
    counts = np.bincount(classes)[classes]
    chances = counts ** -float(balance)
    return np.asarray(chances / chances.sum())
