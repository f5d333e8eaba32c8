"""Changed sweeps, and a pretraining of TraceNet by them without labels.

The pretraining shows two changes of the same cell, whose features shall agree while those of a
batch vary and are not correlated (VICReg; Bardes et al., 2022). It needs no decoder, and the
changes are those of the arm with changed sweeps.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from sts.base.files import atomic_path
from sts.base.progress import progress
from sts.base.types import Floats, Ints
from sts.learning.device import cast_to, draw_from_seed
from sts.networks.backbones import Architecture, find_head, make_network, place_network
from sts.networks.settings import cut_batches
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings, PlainSource, RowNumbers, TraceSource
from sts.signals.resample import BEFORE_S, RATE_HZ, SAMPLES
from sts.studies.classify.networks.training import DEMO_RATE

# Largest changes of a sweep: shift, share of the amplitude, noise, and a step of the voltage during
# the stimulus, as another current would cause it.
SHIFT_MS, SCALE, NOISE_MV, STEP_MV = 5.0, 0.1, 0.3, 1.5
# Of the pretraining.
PRETRAINING_EPOCHS, BATCH, WIDTH, SEED = 6, 64, 512, 7_500_001
# Shares of agreement, variance and covariance in the loss (Bardes et al., 2022).
SHARES: Final = (25.0, 25.0, 1.0)
TRACE: Final = Architecture(number=5, weights="none")


class ChangedSource:
    """Scalograms of sweeps, some of which are changed at random whenever they are read."""

    kept = None

    def __init__(
        self,
        traces: Floats,
        settings: ImageSettings,
        rows: Ints,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.settings, self._device = settings, torch.device(device)
        self._traces, self._rows = traces, rows
        self._rng = np.random.default_rng((seed, len(rows)))

    def __len__(self) -> int:
        return len(self._traces)

    def channels(self, rows: RowNumbers) -> Iterator[Tensor]:
        """Yield both channels (n, 2, H, W) of a few `rows` at a time."""
        some = np.asarray(rows, dtype=np.int64)
        traces = self._traces[some].copy()
        for place in np.flatnonzero(np.isin(some, self._rows)):
            traces[place] = change_sweeps(traces[place], self._rng)
        source = TraceSource(traces, self.settings, self._device)
        yield from source.channels(np.arange(len(some)))


def change_sweeps(sweeps: Floats, rng: np.random.Generator) -> Floats:
    """Return the sweeps (2, samples) of a cell, shifted, scaled, with noise and another step."""
    times = np.arange(SAMPLES) - rng.uniform(-SHIFT_MS, SHIFT_MS) * 1e-3 * RATE_HZ
    first, last = round(BEFORE_S * RATE_HZ), round((1 + BEFORE_S) * RATE_HZ)
    rest = sweeps[:, :first].mean(axis=1, keepdims=True)
    scaled = rest + (sweeps - rest) * rng.uniform(1 - SCALE, 1 + SCALE)
    shifted = np.stack([np.interp(times, np.arange(SAMPLES), sweep) for sweep in scaled])
    shifted[:, first:last] += rng.uniform(-STEP_MV, STEP_MV, size=(2, 1))
    noise = rng.normal(scale=rng.uniform(0, NOISE_MV), size=shifted.shape)
    return np.asarray(shifted + noise, dtype=np.float32)


def ensure_pretrained(folder: Path, traces: Floats) -> Path:
    """Return the file of TraceNet's weights, pretrained on these sweeps unless it exists."""
    digest = hashlib.sha256(np.ascontiguousarray(traces).data).hexdigest()[:16]
    path = folder / f"pretrained-{len(traces)}-{PRETRAINING_EPOCHS}-{digest}.safetensors"
    if not path.is_file():
        body = pretrain(traces)
        with atomic_path(path) as part:
            safetensors.torch.save_file(body, part)
    return path


def pretrain(traces: Floats) -> dict[str, Tensor]:
    """Return the weights of TraceNet, without its head, pretrained on sweeps (n, 2, 4800)."""
    images = TRACE.images()
    bank = ImageBank(PlainSource(traces, images), images).standardise(np.arange(len(traces)))
    network = place_network(make_network(TRACE, seed=SEED), bank.device)
    features = find_head(network)[-1].get_parameter("weight").shape[1]
    network.head = nn.Identity()
    with draw_from_seed(SEED):
        projector = nn.Sequential(
            nn.Linear(features, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)
        )
    whole = nn.Sequential(network, projector).train()
    batches = len(traces) // BATCH
    optimizer = torch.optim.Adam(whole.parameters(), fused=True)
    rate = DEMO_RATE[TRACE.number]
    steps = PRETRAINING_EPOCHS * batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    rng = np.random.default_rng(SEED)
    view = partial(draw_view, traces, bank.settings, rng)
    with progress(steps, "pretrain") as bar:
        for _ in range(PRETRAINING_EPOCHS):
            for rows in cut_batches(rng.permutation(len(traces)), BATCH)[:batches]:
                with cast_to("auto", bank.device):
                    one, other = (whole(view(rows)) for _ in range(2))
                loss = measure_loss(one.float(), other.float())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.advance()
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def draw_view(
    traces: Floats, settings: ImageSettings, rng: np.random.Generator, rows: Ints
) -> Tensor:
    """Return images (n, 2, 1, 4800) of the changed sweeps of some cells, standardised."""
    changed = np.stack([change_sweeps(traces[row], rng) for row in rows])
    (views,) = PlainSource(changed, settings.plain).channels(np.arange(len(rows)))
    mean, deviation = (
        torch.tensor(values)[:2, None, None] for values in (settings.mean, settings.deviation)
    )
    return (views - mean) / deviation


def measure_loss(one: Tensor, other: Tensor) -> Tensor:
    """Return VICReg's loss of two views (n, width) of the same cells."""
    agreement = functional.mse_loss(one, other)
    variance, covariance = one.new_zeros(()), one.new_zeros(())
    for view in (one, other):
        centred = view - view.mean(dim=0)
        variance += functional.relu(1 - (centred.var(dim=0) + 1e-4).sqrt()).mean() / 2
        products = centred.T @ centred / (len(view) - 1)
        covariance += (products - products.diag().diag()).square().sum() / view.shape[1]
    parts = torch.stack([agreement, variance, covariance])
    return parts @ parts.new_tensor(SHARES)
