"""What the deep generators share: the frame, the device, the training, the drawing in batches."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor

from sts.augment.frame import Frame
from sts.augment.rows import checked, seed_from
from sts.augment.training import HeldOutCheck, LossTrainer, Network, Trainer, train_network
from sts.base.errors import StsError
from sts.base.types import Floats, Ints
from sts.learning.device import choose_device, draw_from_seed

# How many rows are drawn at a time.
DRAWN: Final = 4096
# Normal scores never come so far out, a network that has lost its way does.
OUTERMOST: Final = 6.0
# How often rows that are not finite are drawn anew.
TRIES: Final = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedNetwork:
    """A trained network, and the way from its scores to rows."""

    network: Network
    frame: Frame
    labels: Ints
    """The label of each class of the network."""
    features: int
    device: torch.device
    best: HeldOutCheck | None
    """The check that the network is from; None where no rows could be held out."""


@dataclass(frozen=True, eq=False)
class DeepGenerator(ABC):
    """One network for all classes, which learns what the frame leaves of the rows."""

    settings: Any
    device: str = "cpu"
    fitted: FittedNetwork | None = None

    @abstractmethod
    def network(self, features: int, classes: int) -> Network:
        """Return a new network."""

    def trainer(self, network: Any, features: int, classes: int) -> Trainer:
        """Return what trains the network."""
        return LossTrainer(network, self.settings.loop)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return how long was trained."""
        if self.fitted is None:
            return ()
        steps, best = self.settings.loop.steps, self.fitted.best
        if best is None:
            return (f"trained for {steps} steps, for no class has rows to hold out",)
        return (f"best after {best.steps} of at most {steps} steps",)

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator whose network is trained on these rows."""
        X, y = checked(X, y)
        labels, classes = np.unique(y, return_inverse=True)
        device = choose_device(self.device)
        frame = Frame.fit(X, y, settings=self.settings.frame, rng=rng)
        with draw_from_seed(seed_from(rng), device):
            network = self.network(X.shape[1], len(labels)).to(device)
            trainer = self.trainer(network, X.shape[1], len(labels))
        scores = frame.scores(X, y, rng)
        done = train_network(network, trainer, scores, classes, loop=self.settings.loop, rng=rng)
        fitted = FittedNetwork(
            network=network,
            frame=frame,
            labels=labels,
            features=X.shape[1],
            device=device,
            best=done.best,
        )
        return replace(self, fitted=fitted)

    @torch.no_grad()
    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class."""
        if self.fitted is None:
            raise ValueError("fit before you sample")
        fitted = self.fitted
        if label not in fitted.labels:
            raise StsError(f"class {label} has no training row to make others from")
        place = int(np.searchsorted(fitted.labels, label))
        generator = torch.Generator(fitted.device).manual_seed(seed_from(rng))
        classes = torch.full((n,), place, device=fitted.device)
        drawn = [
            _drawn(fitted.network, classes[start : start + DRAWN], generator)
            for start in range(0, n, DRAWN)
        ]
        scores = np.vstack([np.empty((0, fitted.features)), *drawn])
        return fitted.frame.rows(scores.clip(-OUTERMOST, OUTERMOST), label)


def _drawn(network: Network, classes: Tensor, generator: torch.Generator) -> Floats:
    """Return finite scores, drawing again what is not."""
    scores = network.draw(classes, generator)
    for _ in range(TRIES):
        broken = ~scores.isfinite().all(dim=1)
        if not broken.any():
            return scores.double().cpu().numpy()
        scores[broken] = network.draw(classes[broken], generator)
    raise FloatingPointError("the network draws what is not finite: lower the learning rate")
