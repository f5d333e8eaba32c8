"""The common parts of deep generators: layers, the training loop, and drawing rows in batches."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from sts.augment.contract import check_label, check_rows, draw_seed
from sts.augment.frame import Frame
from sts.augment.settings import LayerSettings, LoopSettings
from sts.base.types import Floats, Ints
from sts.learning.device import choose_device, draw_from_seed
from sts.learning.training import MovingAverage, TrainingProgress
from sts.scalograms.wavelet import move_rows

# The moving average of the weights covers at most 1 / WARM of the steps so far.
WARM: Final = 10
# Number of rows that are drawn at once.
DRAWN_AT_ONCE: Final = 4096
# Largest normal score of a drawn row; only a badly trained network draws larger ones.
LARGEST_SCORE: Final = 6.0
# Largest number of times that rows that are not finite are drawn again.
TRIES: Final = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Normal scores of rows and the indices of their classes."""

    scores: Tensor
    """(B, features)."""
    classes: Tensor
    """(B,)."""

    def rows(self, places: Ints) -> "Batch":
        """Return the rows with these indices."""
        at = move_rows(places, self.classes.device)
        return Batch(scores=self.scores[at], classes=self.classes[at])


class Network(nn.Module, ABC):
    """A network that draws normal scores and can be scored on held-out rows."""

    @abstractmethod
    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Return one row of scores for each class in `classes`, (B, features)."""

    @abstractmethod
    def score(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the error of the network on rows outside training; lower is better."""

    def loss(self, batch: Batch, generator: torch.Generator, *, done: float) -> Tensor:
        """Return the training loss after the share `done` of all steps."""
        return self.score(batch, generator)


class _Block(nn.Module):
    """A residual layer whose output is shifted by a condition."""

    def __init__(self, settings: LayerSettings) -> None:
        super().__init__()
        width = settings.width
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.lean = nn.Linear(width, width, bias=False)
        self.outer = nn.Linear(width, width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        inner = nn.functional.silu(self.inner(self.norm(hidden)) + self.lean(condition))
        outer: Tensor = self.outer(self.dropout(inner))
        return hidden + outer


class ResidualStack(nn.Module):
    """Residual layers with a condition.

    The last layer starts at zero, so that a new network returns 0 under every condition.
    """

    def __init__(self, inputs: int, outputs: int, settings: LayerSettings) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, settings.width)
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)
        self.last = nn.Linear(settings.width, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, inputs: Tensor, condition: Tensor) -> Tensor:
        """Return outputs (B, outputs) of inputs (B, inputs) and condition (B or 1, width)."""
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = block(hidden, condition)
        outputs: Tensor = self.last(self.norm(hidden))
        return outputs


def noise_like(values: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal numbers with the shape of `values`."""
    return torch.randn(values.shape, generator=generator, device=values.device, dtype=values.dtype)


class Trainer(Protocol):
    """Trains a network, one batch at a time."""

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Learn from a batch, after the share `done` of all steps."""
        ...


class LossTrainer:
    """Minimises the loss of the network with one optimiser."""

    def __init__(self, network: Network, loop: LoopSettings) -> None:
        self._network, self._loop = network, loop
        self._optimiser = make_adam(network, loop)

    def step(self, batch: Batch, generator: torch.Generator, *, done: float) -> None:
        """Learn from a batch, after the share `done` of all steps."""
        self._optimiser.zero_grad()
        self._network.loss(batch, generator, done=done).backward()  # type: ignore[no-untyped-call]
        # Gradients are clipped, so that an unusual row does not change the network too much.
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        set_learning_rate(self._optimiser, self._loop, done)
        self._optimiser.step()


def make_adam(
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


def set_learning_rate(optimiser: torch.optim.Optimizer, loop: LoopSettings, done: float) -> None:
    """Decrease the learning rate linearly, to 0 at the end of all steps."""
    for group in optimiser.param_groups:
        group["lr"] = loop.learning_rate * (1 - done)


def hold_out_rows(y: Ints, part: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return rows for training, and a share of each class, rounded down, for scoring."""
    held_out = [
        rng.permutation(rows)[: int(part * len(rows))]
        for rows in (np.flatnonzero(y == label) for label in np.unique(y))
    ]
    scored = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(y)), scored), scored


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
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
) -> TrainingProgress[HeldOutScore]:
    """Train until the score of held-out rows no longer improves, and restore the best weights.

    If no class has a row to hold out, all steps are run and no score is best. The network that is
    scored and kept is the moving average of the one that is trained.

    Raises
    ------
    FloatingPointError
        The score was never finite.
    """
    device = next(network.parameters()).device
    trained, held_out = hold_out_rows(classes, loop.held_out, rng)
    rows = Batch(
        scores=torch.as_tensor(scores, dtype=torch.float32, device=device),
        classes=torch.as_tensor(classes, dtype=torch.int64, device=device),
    )
    generator = torch.Generator(device).manual_seed(draw_seed(rng))
    # Every score uses the same random numbers.
    score_seed = draw_seed(rng)
    chances = _row_chances(classes[trained], loop.balance)
    average = MovingAverage(network)
    progress: TrainingProgress[HeldOutScore] = TrainingProgress()
    with draw_from_seed(draw_seed(rng), device):
        for step in range(1, loop.steps + 1):
            chosen = rows.rows(rng.choice(trained, size=loop.batch, p=chances))
            network.train()
            trainer.step(chosen, generator, done=step / loop.steps)
            # The average changes faster in the first steps.
            average.follow(min(loop.average, step / (step + WARM)))
            progress = replace(progress, steps=step)
            if len(held_out) and (step % loop.check_every == 0 or step == loop.steps):
                batch = rows.rows(held_out)
                progress = _add_score(progress, average.network, batch, seed=score_seed)
                if progress.since_best >= loop.patience:
                    break
    if len(held_out) and progress.best is None:
        raise FloatingPointError("held-out scores were never finite: lower the learning rate")
    network.load_state_dict(progress.best_state if len(held_out) else average.network.state_dict())
    network.eval()
    return progress


def _row_chances(classes: Ints, balance: float) -> Floats:
    """Return the probability of each row; with balance 1, all classes are equally frequent."""
    chances = np.bincount(classes)[classes] ** -float(balance)
    return np.asarray(chances / chances.sum())


@torch.no_grad()
def _add_score(
    progress: TrainingProgress[HeldOutScore], average: Network, held_out: Batch, *, seed: int
) -> TrainingProgress[HeldOutScore]:
    """Return the progress after one more score of held-out rows."""
    generator = torch.Generator(held_out.scores.device).manual_seed(seed)
    score = float(average.score(held_out, generator))
    record = HeldOutScore(steps=progress.steps, score=score)
    better = progress.is_better(score)
    return progress.add(record, better=better, score=score, network=average)


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedNetwork:
    """A trained network, and the transformation of its scores to rows."""

    network: Network
    frame: Frame
    labels: Ints
    """The label of each class of the network."""
    features: int
    device: torch.device
    best: HeldOutScore | None
    """The best score of held-out rows; None if no row could be held out."""


@dataclass(frozen=True, eq=False)
class DeepGenerator(ABC):
    """One network for all classes, trained on the normal scores of rows."""

    settings: Any
    device: str = "cpu"
    fitted: FittedNetwork | None = None

    @abstractmethod
    def make_network(self, features: int, classes: int) -> Network:
        """Return a new network."""

    def make_trainer(self, network: Any, features: int, classes: int) -> Trainer:
        """Return what trains the network."""
        return LossTrainer(network, self.settings.loop)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return how long the network was trained."""
        if self.fitted is None:
            return ()
        steps, best = self.settings.loop.steps, self.fitted.best
        if best is None:
            return (f"trained for {steps} steps, because no class has rows to hold out",)
        return (f"best after {best.steps} of at most {steps} steps",)

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator whose network is trained on these rows."""
        X, y = check_rows(X, y)
        labels, classes = np.unique(y, return_inverse=True)
        device = choose_device(self.device)
        frame = Frame.fit(X, y, settings=self.settings.frame, rng=rng)
        with draw_from_seed(draw_seed(rng), device):
            network = self.make_network(X.shape[1], len(labels)).to(device)
            trainer = self.make_trainer(network, X.shape[1], len(labels))
        scores = frame.scores(X, y, rng)
        loop = self.settings.loop
        progress = train_network(network, trainer, scores, classes, loop=loop, rng=rng)
        fitted = FittedNetwork(
            network=network,
            frame=frame,
            labels=labels,
            features=X.shape[1],
            device=device,
            best=progress.best,
        )
        return replace(self, fitted=fitted)

    @torch.no_grad()
    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class."""
        if self.fitted is None:
            raise ValueError("fit before you sample")
        fitted = self.fitted
        check_label(label, fitted.labels)
        place = int(np.searchsorted(fitted.labels, label))
        generator = torch.Generator(fitted.device).manual_seed(draw_seed(rng))
        classes = torch.full((n,), place, device=fitted.device)
        batches = [
            _draw_finite(fitted.network, classes[start : start + DRAWN_AT_ONCE], generator)
            for start in range(0, n, DRAWN_AT_ONCE)
        ]
        scores = np.vstack([np.empty((0, fitted.features)), *batches])
        return fitted.frame.rows(scores.clip(-LARGEST_SCORE, LARGEST_SCORE), label)


def _draw_finite(network: Network, classes: Tensor, generator: torch.Generator) -> Floats:
    """Return finite scores; rows that are not finite are drawn again."""
    scores = network.draw(classes, generator)
    for _ in range(TRIES):
        broken = ~scores.isfinite().all(dim=1)
        if not broken.any():
            return scores.double().cpu().numpy()
        scores[broken] = network.draw(classes[broken], generator)
    raise FloatingPointError("the network draws rows that are not finite: lower the learning rate")
