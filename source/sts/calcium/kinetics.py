"""An ending for generators of calcium: spikes, their decay, and the noise they are seen through."""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

# A drive this much above its threshold is a spike, below it none; steeper ones learn no better.
STEEPNESS: Final = 30.0
# What a recording at 24 Hz that is scaled to 0..1 is like, about.
DECAY: Final = 0.95
AMPLITUDE: Final = 0.14
BASELINE: Final = 0.1
NOISE: Final = 0.05
THRESHOLD: Final = 1.4
# Within which a first guess at decay, and at the chance of a spike in a frame, must lie.
KEEPS: Final = (0.3, 0.995)
CHANCES: Final = (0.001, 0.4)
FAINTEST: Final = 1e-6
# Adam moves all numbers by as much a step; these few are known better than weights are.
SPEED: Final = 0.1
HIDDEN: Final = 64


class SpikesEnding(nn.Module):
    """Drive (B, neurons, W) -> traces: spikes where it is above a threshold, decay and noise.

    Each neuron learns its threshold, decay, amplitude, baseline and noise of its own.
    """

    def __init__(self, neurons: int, noise: int, slope: float) -> None:
        super().__init__()
        self.threshold = _each(neurons, THRESHOLD / SPEED)
        self.decay = _each(neurons, math.log(DECAY / (1 - DECAY)) / SPEED)
        self.amplitude = _each(neurons, math.log(AMPLITUDE) / SPEED)
        self.baseline = _each(neurons, BASELINE / SPEED)
        self.noise = _each(neurons, math.log(NOISE) / SPEED)
        self.start = nn.Sequential(
            nn.Linear(noise, HIDDEN), nn.LeakyReLU(slope), nn.Linear(HIDDEN, neurons)
        )

    def forward(self, drive: Tensor, noise: Tensor, fresh: Tensor) -> Tensor:
        """Return traces about 0..1.

        Parameters
        ----------
        noise
            (B, noise) what the window is generated from: how much calcium it begins with.
        fresh
            (B, neurons, W) standard normal.
        """
        known = self.known()
        spikes = torch.sigmoid(STEEPNESS * (drive.float() - known["threshold"]))
        before = functional.softplus(self.start(noise).float())[..., None]
        spikes = spikes + functional.pad(before, (0, spikes.shape[-1] - 1))
        calcium = decay_spikes(spikes, known["keep"])
        seen: Tensor = known["baseline"] + known["amplitude"] * calcium + known["noise"] * fresh
        return seen

    def begin_from(self, traces: Tensor) -> None:
        """Take decay, noise, amplitude, rate and baseline of each neuron from traces.

        The covariances of calcium in white noise tell its decay and the noise; the variance and
        the third moment of what decay leaves unexplained tell how many spikes of which size.

        Parameters
        ----------
        traces
            (neurons, frames) of the training stretch in 0..1.
        """
        centred = (traces - traces.mean(dim=1, keepdim=True)).double()
        keep = (_lagged(centred, 2) / _lagged(centred, 1)).nan_to_num(DECAY).clamp(*KEEPS)
        left = centred[:, 1:] - keep * centred[:, :-1]
        noise = (-_lagged(left, 1) / keep).clamp_min(FAINTEST)
        variance = (_lagged(left, 0) - noise * (1 + keep**2)).clamp_min(FAINTEST)
        third = (left**3).mean(dim=1, keepdim=True).clamp_min(FAINTEST**1.5)
        # Spikes of size a and chance p: variance a^2 p (1 - p), third over variance a (1 - 2 p).
        skew = third / variance
        amplitude = (4 * variance + skew**2).sqrt()
        chance = ((1 - skew / amplitude) / 2).clamp(*CHANCES)
        amplitude = (variance / chance / (1 - chance)).sqrt()
        baseline = traces.mean(dim=1, keepdim=True) - amplitude * chance / (1 - keep)
        with torch.no_grad():
            self.decay.copy_(torch.logit(keep) / SPEED)
            self.noise.copy_(noise.log() / 2 / SPEED)
            self.amplitude.copy_(amplitude.log() / SPEED)
            self.threshold.copy_(-torch.special.ndtri(chance) / SPEED)
            self.baseline.copy_(baseline / SPEED)

    def known(self) -> dict[str, Tensor]:
        """Return what is held of each neuron, (neurons, 1), in parts of the scale 0..1."""
        return {
            "threshold": SPEED * self.threshold,
            "keep": torch.sigmoid(SPEED * self.decay),
            "amplitude": torch.exp(SPEED * self.amplitude),
            "baseline": SPEED * self.baseline,
            "noise": torch.exp(SPEED * self.noise),
        }


def decay_spikes(spikes: Tensor, keep: Tensor) -> Tensor:
    """Return c(t) = keep c(t-1) + spikes(t) of (..., W), by doubling instead of frame by frame."""
    shift = 1
    while shift < spikes.shape[-1]:
        # 1 / (1 - keep L) is the product of all (1 + (keep L)^(2^k)), L being a frame's delay.
        spikes = spikes + keep * functional.pad(spikes[..., :-shift], (shift, 0))
        keep = keep * keep
        shift *= 2
    return spikes


def _lagged(centred: Tensor, lag: int) -> Tensor:
    """Return the autocovariance of traces (neurons, frames) at a lag, (neurons, 1)."""
    frames = centred.shape[1] - lag
    return (centred[:, :frames] * centred[:, lag:]).mean(dim=1, keepdim=True)


def _each(neurons: int, value: float) -> nn.Parameter:
    return nn.Parameter(torch.full((neurons, 1), value))
