"""The settings of every generator, one dataclass per method; none of them needs torch."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from sts.base.settings import BelowOne, Bounds, CheckedSettings, Count, NotNegative, Positive

# Steps from a row to noise in the diffusion model.
DIFFUSION_STEPS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """A method without settings."""


@dataclass(frozen=True, kw_only=True)
class SmoteSettings(CheckedSettings):
    """SMOTE (Chawla et al., 2002)."""

    neighbours: Count = 5
    """Fewer in a class with at most this number of rows."""


@dataclass(frozen=True, kw_only=True)
class BorderlineSettings(CheckedSettings):
    """Borderline-SMOTE (Han et al., 2005)."""

    neighbours: Count = 5
    border_neighbours: Count = 10
    """Neighbours that determine whether a row is at the border of its class."""


@dataclass(frozen=True, kw_only=True)
class AdasynSettings(CheckedSettings):
    """ADASYN (He et al., 2008)."""

    neighbours: Count = 5


@dataclass(frozen=True, kw_only=True)
class MixupSettings(CheckedSettings):
    """Mixup (Zhang et al., 2018) within a class, since a row has one class."""

    alpha: Positive = 0.4
    """Small: a new row is near one of its two rows; large: it is in the middle."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings(CheckedSettings):
    """How rows are transformed to independent normal scores."""

    space: Literal["class", "pooled"] = "class"
    """`pooled`: all classes share one transformation."""
    shape_rows: Positive = 2.0
    """Weight, in rows, of the residuals of all classes in the distribution of a feature."""
    correlation_rows: Positive = 10.0
    """Weight, in rows, of the correlation within all classes in that of one class."""


@dataclass(frozen=True, kw_only=True)
class CopulaSettings:
    """A Gaussian copula for each class."""

    frame: FrameSettings = FrameSettings()


@dataclass(frozen=True, kw_only=True)
class MixtureSettings(CheckedSettings):
    """A mixture of normal distributions for each class, as many as the data support (BIC)."""

    frame: FrameSettings = FrameSettings()
    components: Count = 8
    """Largest number in one class."""
    component_rows: Count = 20
    """Rows of a class for each component; with fewer, a class has one standard component."""


@dataclass(frozen=True, kw_only=True)
class ArfSettings(CheckedSettings):
    """An adversarial random forest (Watson et al., 2023)."""

    frame: FrameSettings = FrameSettings()
    trees: Count = 50
    leaf_rows: Count = 10
    """Smallest number of real and synthetic rows in a leaf."""
    rounds: Count = 5
    """Largest number of forests."""
    margin: NotNegative = 0.02
    """The last forest recognises at most this share of rows more than by chance."""


@dataclass(frozen=True, kw_only=True)
class LoopSettings(CheckedSettings):
    """The training of a network until its score on held-out rows no longer decreases."""

    steps: Count = 4000
    """Largest number of steps."""
    batch: Count = 256
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 1e-3
    average: BelowOne = 0.99
    """Decay of the running mean of the weights; the network with the mean weights is kept."""
    balance: BelowOne = 0.5
    """0: classes are drawn with their frequencies; 1: all classes equally often."""
    held_out: BelowOne = 0.1
    """The share of each class that is not used in training."""
    check_every: Count = 50
    """Steps between two scores on held-out rows."""
    patience: Count = 10
    """Training stops after this number of scores without improvement."""


@dataclass(frozen=True, kw_only=True)
class LayerSettings(CheckedSettings):
    """Layers with the class as condition."""

    width: Count = 128
    depth: Count = 2
    dropout: BelowOne = 0.0


@dataclass(frozen=True, kw_only=True)
class GanSettings(CheckedSettings):
    """A conditional Wasserstein GAN with gradient penalty (Gulrajani et al., 2017)."""

    frame: FrameSettings = FrameSettings()
    layers: LayerSettings = LayerSettings()
    loop: LoopSettings = LoopSettings(steps=500, learning_rate=5e-4)
    noise: Count = 32
    """Random numbers per row, in addition to one for each feature."""
    critic_steps: Count = 3
    """Steps of the critic before each step of the generator."""
    penalty: Positive = 10.0


@dataclass(frozen=True, kw_only=True)
class VaeSettings(CheckedSettings):
    """A conditional variational autoencoder (Kingma and Welling, 2014; Sohn et al., 2015)."""

    frame: FrameSettings = FrameSettings()
    layers: LayerSettings = LayerSettings()
    loop: LoopSettings = LoopSettings(learning_rate=3e-4)
    latent: Count = 16
    beta: Positive = 1.0
    """Final weight of the divergence of the code."""
    warm_up: BelowOne = 0.2
    """The share of all steps in which beta increases from 0."""


@dataclass(frozen=True, kw_only=True)
class FlowSettings(CheckedSettings):
    """A conditional masked autoregressive flow (Papamakarios et al., 2017)."""

    frame: FrameSettings = FrameSettings()
    loop: LoopSettings = LoopSettings(learning_rate=3e-4)
    transforms: Count = 3
    width: Count = 64
    depth: Count = 2


@dataclass(frozen=True, kw_only=True)
class DdpmSettings(CheckedSettings):
    """A denoising diffusion model (Ho et al., 2020) with a cosine schedule."""

    frame: FrameSettings = FrameSettings()
    layers: LayerSettings = LayerSettings()
    loop: LoopSettings = LoopSettings()
    sampler: Literal["ddim", "ancestral"] = "ddim"
    """`ancestral`: every step is reversed, with new noise."""
    sampling_steps: Annotated[int, Bounds(1, DIFFUSION_STEPS)] = 50
    """Steps of DDIM (Song et al., 2021)."""
    guidance: NotNegative = 0.0
    """Strength of the guidance towards the class (Ho and Salimans, 2022)."""
    unlabelled: BelowOne = 0.1
    """The share of rows that is trained without the class."""
