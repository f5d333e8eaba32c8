"""How every generator is set up, one dataclass a method; none of them needs torch."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from sts.base.errors import StsError

# How many steps the way from a row to noise is cut into.
DIFFUSION_STEPS: Final = 1000


def _at_least(settings: Any, least: int, *names: str) -> None:
    for name in names:
        if (value := getattr(settings, name)) < least:
            raise StsError(f"{name} must be at least {least}, not {value}")


def _positive(settings: Any, *names: str) -> None:
    for name in names:
        if not (value := getattr(settings, name)) > 0:
            raise StsError(f"{name} must be above 0, not {value:g}")


def _within(settings: Any, *names: str) -> None:
    for name in names:
        if not 0 <= (value := getattr(settings, name)) < 1:
            raise StsError(f"{name} must be at least 0, below 1, not {value:g}")


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """The settings of a method that has none."""


@dataclass(frozen=True, kw_only=True)
class SmoteSettings:
    """SMOTE (Chawla et al., 2002)."""

    neighbours: int = 5
    """Fewer where a class has no more rows than this."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        _at_least(self, 1, "neighbours")


@dataclass(frozen=True, kw_only=True)
class BorderlineSettings:
    """Borderline-SMOTE (Han et al., 2005)."""

    neighbours: int = 5
    border_neighbours: int = 10
    """By how many neighbours it is told whether a row lies at the border of its class."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        _at_least(self, 1, "neighbours", "border_neighbours")


@dataclass(frozen=True, kw_only=True)
class AdasynSettings:
    """ADASYN (He et al., 2008)."""

    neighbours: int = 5

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        _at_least(self, 1, "neighbours")


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """How rows become independent normal scores before anything is learned of them."""

    space: Literal["class", "pooled"] = "class"
    """`pooled`: all classes share one transformation, and nothing is borrowed."""
    shape_rows: float = 2.0
    """How many rows the residuals of all classes count for in the distribution of a feature."""
    correlation_rows: float = 10.0
    """How many rows the correlation within all classes counts for in that of one."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        _positive(self, "shape_rows", "correlation_rows")


@dataclass(frozen=True, kw_only=True)
class CopulaSettings:
    """A Gaussian copula for each class."""

    frame: FrameSettings = FrameSettings()


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a network is trained until its score on held-out rows no longer falls."""

    steps: int = 4000
    """At most."""
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    average: float = 0.99
    """The decay of the running mean of the weights, which is what is scored and kept."""
    balance: float = 0.5
    """0: classes are met as often as they are common; 1: all equally often."""
    held_out: float = 0.1
    """The part of each class that is not trained on."""
    check_every: int = 50
    patience: int = 10
    """Checks without a better score after which training stops."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        _at_least(self, 1, "steps", "batch", "check_every", "patience")
        _positive(self, "learning_rate")
        _within(self, "average", "balance", "held_out")
        if self.weight_decay < 0:
            raise StsError(f"weight_decay must be 0 or more, not {self.weight_decay:g}")


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """A stack of residual layers that knows the class."""

    width: int = 128
    depth: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        _at_least(self, 1, "width", "depth")
        _within(self, "dropout")


@dataclass(frozen=True, kw_only=True)
class GanSettings:
    """A conditional Wasserstein GAN with gradient penalty (Gulrajani et al., 2017)."""

    frame: FrameSettings = FrameSettings()
    layers: LayerSettings = LayerSettings()
    loop: LoopSettings = LoopSettings(steps=500, learning_rate=5e-4)
    noise: int = 32
    """How many random numbers a row is made from, beside one for each feature."""
    critic_steps: int = 3
    """How often the critic learns before the generator does."""
    penalty: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        _at_least(self, 1, "noise", "critic_steps")
        _positive(self, "penalty")


@dataclass(frozen=True, kw_only=True)
class VaeSettings:
    """A conditional variational autoencoder (Kingma and Welling, 2014; Sohn et al., 2015)."""

    frame: FrameSettings = FrameSettings()
    layers: LayerSettings = LayerSettings()
    loop: LoopSettings = LoopSettings(learning_rate=3e-4)
    latent: int = 16
    beta: float = 1.0
    """What the divergence of the code is multiplied with in the end."""
    warm_up: float = 0.2
    """The part of all steps in which beta rises from nothing."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        _at_least(self, 1, "latent")
        _positive(self, "beta")
        _within(self, "warm_up")


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """A conditional masked autoregressive flow (Papamakarios et al., 2017)."""

    frame: FrameSettings = FrameSettings()
    loop: LoopSettings = LoopSettings(learning_rate=3e-4)
    transforms: int = 3
    width: int = 64
    depth: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        _at_least(self, 1, "transforms", "width", "depth")


@dataclass(frozen=True, kw_only=True)
class DdpmSettings:
    """A denoising diffusion model (Ho et al., 2020) with a cosine schedule."""

    frame: FrameSettings = FrameSettings()
    layers: LayerSettings = LayerSettings()
    loop: LoopSettings = LoopSettings()
    sampler: Literal["ddim", "ancestral"] = "ddim"
    """`ancestral`: every step of the process is undone, with fresh noise."""
    sampling_steps: int = 50
    """How many steps DDIM (Song et al., 2021) takes."""
    guidance: float = 0.0
    """How far a row is driven away from what all classes share (Ho and Salimans, 2022)."""
    unlabelled: float = 0.1
    """The part of rows that is learned from without the class."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained or sampled."""
        _within(self, "unlabelled")
        if not 1 <= self.sampling_steps <= DIFFUSION_STEPS:
            raise StsError(
                f"sampling_steps must lie in 1..{DIFFUSION_STEPS}, not {self.sampling_steps}"
            )
        if self.guidance < 0:
            raise StsError(f"guidance must be 0 or more, not {self.guidance:g}")
