"""The training loop of the deep generators, which stops by the score of held-out rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sts.augment.rows import held_out_rows, seed_from
from sts.augment.settings import LoopSettings
from sts.base.types import Floats, Ints
from sts.learning.device import draw_from_seed
from sts.learning.training import MovingAverage, TrainingProgress
from sts.scalograms.wavelet import move_rows

# The moving average of the weights looks back on no more than a tenth of the steps so far.
WARM: Final = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Scores of some rows and the places of their classes."""

    scores: Tensor
    """(B, features)."""
    classes: Tensor
    """(B,)."""


class Network(nn.Module, ABC):
    """A network that draws scores and can be scored itself."""

    @abstractmethod
    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return a row of scores for each class asked for, (B, features)."""

    @abstractmethod
    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return how far the network is from rows it has not seen; lower is better."""

    def loss(self, batch: Batch, generator: torch.Generator, *, done: float) -> Tensor:
        """Return what going down makes the network better, when `done` of all steps are over."""
        return self.score(batch, generator)


class Trainer(Protocol):
    """Changes a network so that it gets better, a batch at a time."""

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Learn from a batch when the part `done` of all steps is over."""
        ...


class LossTrainer:
    """Follows the slope of the network's own loss with one optimiser."""

    def __init__(self, network: Network, loop: LoopSettings) -> None:
        self._network, self._loop = network, loop
        self._optimiser = adam(network, loop)

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Learn from a batch when the part `done` of all steps is over."""
        self._optimiser.zero_grad()
        self._network.loss(batch, generator, done=done).backward()  # type: ignore[no-untyped-call]
        # One odd row must not undo what was learned.
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
class HeldOutCheck:
    """The score of held-out rows after some steps."""

    steps: int
    score: float


def train_network(
    network: Network,
    trainer: Trainer,
    scores: Floats,
    classes: Ints,
    *,
    loop: LoopSettings,
    rng: np.random.Generator,
) -> TrainingProgress[HeldOutCheck]:
    """Train until held-out rows are no better described, and go back to the best check.

    Where no class has a row to spare, all steps are run and there is no best check. The network
    that is scored and kept is the moving average of the one that is trained.

    Raises
    ------
    FloatingPointError
        The score was never finite.
    """
    device = next(network.parameters()).device
    trained, held_out = held_out_rows(classes, loop.held_out, rng)
    rows = _batch(scores, classes, device)
    generator = torch.Generator(device).manual_seed(seed_from(rng))
    # Every check draws the same random numbers.
    check_seed = seed_from(rng)
    chances = _chances(classes[trained], loop.balance)
    average = MovingAverage(network)
    done: TrainingProgress[HeldOutCheck] = TrainingProgress()
    with draw_from_seed(seed_from(rng), device):
        for step in range(1, loop.steps + 1):
            chosen = _at(rows, rng.choice(trained, size=loop.batch, p=chances))
            network.train()
            trainer.step(chosen, generator, done=step / loop.steps)
            # The average follows faster while the weights are young.
            average.follow(min(loop.average, step / (step + WARM)))
            done = replace(done, steps=step)
            if len(held_out) and (step % loop.check_every == 0 or step == loop.steps):
                done = _check(done, average.network, _at(rows, held_out), seed=check_seed)
                if done.since_best >= loop.patience:
                    break
    if len(held_out) and done.best is None:
        raise FloatingPointError("held-out scores were never finite: lower the learning rate")
    network.load_state_dict(done.best_state if len(held_out) else average.network.state_dict())
    network.eval()
    return done


@torch.no_grad()
def _check(
    done: TrainingProgress[HeldOutCheck], average: Network, held_out: Batch, *, seed: int
) -> TrainingProgress[HeldOutCheck]:
    """Return the progress with one more score of the average on held-out rows."""
    generator = torch.Generator(held_out.scores.device).manual_seed(seed)
    score = float(average.score(held_out, generator))
    check = HeldOutCheck(steps=done.steps, score=score)
    return done.add(check, better=done.is_better(score), score=score, network=average)


def _batch(scores: Floats, classes: Ints, device: torch.device) -> Batch:
    return Batch(
        scores=torch.as_tensor(scores, dtype=torch.float32, device=device),
        classes=torch.as_tensor(classes, dtype=torch.int64, device=device),
    )


def _at(rows: Batch, places: Ints) -> Batch:
    at = move_rows(places, rows.classes.device)
    return Batch(scores=rows.scores[at], classes=rows.classes[at])


def _chances(classes: Ints, balance: float) -> Floats:
    """Return how often each row is met, between as common and equally often for its class."""
    counts = np.bincount(classes)[classes]
    chances = counts ** -float(balance)
    return np.asarray(chances / chances.sum())
