"""The four networks as a table, and how one of them is made ready for our classes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
from torch import Tensor, nn
from torchvision import models

from sts.base.errors import StsError, one_of
from sts.base.settings import Bounds, check_fields
from sts.base.types import CLASSES
from sts.learning.device import draw_from_seed
from sts.networks.weights import State, imagenet_state, read_state
from sts.scalograms.image import ImageSettings

Freeze = Literal["NONE", "FULL"]

# What the loss of InceptionV3's auxiliary output counts (Szegedy et al., 2015).
AUXILIARY_SHARE: Final = 0.4
AUXILIARY: Final = "AuxLogits"
# What a file of weights may hold beyond a network, and what older ones lack.
OPTIONAL: Final = (f"{AUXILIARY}.", "novelty.")
COUNTER: Final = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One of the published networks."""

    name: str
    build: Callable[..., nn.Module]
    imagenet: Any
    """The weights object that the published models began with."""
    head: str
    """Name of the last layer, or of the block that ends with it."""
    side: int = 224
    smallest: int = 32
    auxiliary_from: int | None = None
    """Smallest side on which the auxiliary output can be computed."""
    options: tuple[tuple[str, Any], ...] = ()


BACKBONES: Final = {
    1: Backbone(
        name="ResNet18",
        build=models.resnet18,
        imagenet=models.ResNet18_Weights.IMAGENET1K_V1,
        head="fc",
    ),
    2: Backbone(
        name="InceptionV3",
        build=models.inception_v3,
        imagenet=models.Inception_V3_Weights.IMAGENET1K_V1,
        head="fc",
        # 299: the smallest side whose last feature map still is 8 x 8.
        side=299,
        smallest=75,
        auxiliary_from=299,
        # Our images are standardised by their own statistics, not by those of photographs; and
        # torchvision's own initial weights take seconds and say that they will change.
        options=(("transform_input", False), ("init_weights", False), ("dropout", 0.0)),
    ),
    3: Backbone(
        name="DenseNet121",
        build=models.densenet121,
        imagenet=models.DenseNet121_Weights.IMAGENET1K_V1,
        head="classifier",
    ),
    4: Backbone(
        name="MobileNetV2",
        build=models.mobilenet_v2,
        imagenet=models.MobileNet_V2_Weights.IMAGENET1K_V1,
        head="classifier",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Which network, which of its layers learn, and what it starts from."""

    number: int
    freeze: Freeze = "NONE"
    """FULL keeps the extractor's weights and its batch-norm statistics; only the head learns."""
    weights: str = "imagenet"
    """`imagenet`, `none` or the path of a file."""
    classes: Annotated[int, Bounds(2, 1000)] = len(CLASSES)

    def __post_init__(self) -> None:
        """Refuse what is not in the table."""
        if self.number not in BACKBONES:
            known = ", ".join(f"{number} {b.name}" for number, b in BACKBONES.items())
            raise StsError(f"unknown model number {self.number}: choose from {known}")
        one_of(self.freeze, ("FULL", "NONE"), "freeze level")
        check_fields(self)

    @property
    def backbone(self) -> Backbone:
        """Return the row of the table."""
        return BACKBONES[self.number]

    def images(
        self, size: int | tuple[int, int] | None = None, *, parity: str = "direct"
    ) -> ImageSettings:
        """Return settings of images that this network can look at.

        Parameters
        ----------
        size
            Pixels of a side, or height and width; the network's own square if None. For as many
            pixels a wide image tells more: neighbouring frequencies say much the same, and columns
            farther apart than a few ms leave out spikes.
        """
        side = self.backbone.side if size is None else size
        height, width = (side, side) if isinstance(side, int) else side
        self.check_side(min(height, width))
        return ImageSettings(height=height, width=width, parity=parity)

    def check_side(self, side: int) -> None:
        """Raise unless images of this side survive the network's poolings."""
        if side < self.backbone.smallest:
            raise StsError(
                f"{self.backbone.name} needs images of at least {self.backbone.smallest} pixels, "
                f"not {side}: give a larger --image-size"
            )


def make_network(
    architecture: Architecture, *, dropout: float = 0.0, auxiliary: bool = False, seed: int = 0
) -> nn.Module:
    """Return a network with a head of its own, in evaluation mode, on the CPU.

    Parameters
    ----------
    auxiliary
        Keep InceptionV3's second output, which only its training uses; no other network has one.
    seed
        Of the weights that are drawn at random: the head's, or all of them.
    """
    backbone = architecture.backbone
    with draw_from_seed(seed):
        network: nn.Module = backbone.build(weights=None, **dict(backbone.options))
        put_head(network, backbone, classes=architecture.classes, dropout=dropout)
        if backbone.auxiliary_from is not None and auxiliary:
            last = network.get_submodule(AUXILIARY).get_submodule("fc")
            fresh = nn.Linear(_inputs(last), architecture.classes)
            network.get_submodule(AUXILIARY).fc = fresh
        else:
            drop_auxiliary(network)
    if architecture.weights != "none":
        _start_from(network, architecture)
    if architecture.freeze == "FULL":
        _freeze(network, backbone)
    return network.eval()


def put_head(network: nn.Module, backbone: Backbone, *, classes: int, dropout: float) -> None:
    """Replace the last layer by dropout and a fresh linear layer."""
    old = network.get_submodule(backbone.head)
    linear = old if isinstance(old, nn.Linear) else list(old.children())[-1]
    head = nn.Sequential(nn.Dropout(dropout), nn.Linear(_inputs(linear), classes))
    setattr(network, backbone.head, head)


def head_of(network: nn.Module) -> nn.Sequential:
    """Return dropout and linear layer, the part that turns features into logits."""
    for backbone in BACKBONES.values():
        head = getattr(network, backbone.head, None)
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            return head
    raise ValueError(f"the head of {type(network).__name__} was not made by us")


def drop_auxiliary(network: nn.Module) -> None:
    """Take InceptionV3's auxiliary output away; other networks have none."""
    if getattr(network, AUXILIARY, None) is not None:
        setattr(network, AUXILIARY, None)
        setattr(network, "aux_logits", False)  # noqa: B010 - of InceptionV3 alone


def both_outputs(output: Any) -> tuple[Tensor, Tensor | None]:
    """Return logits and auxiliary logits of what a network gave."""
    if isinstance(output, Tensor):
        return output, None
    logits, auxiliary = output
    return logits, auxiliary


def placed(network: nn.Module, device: torch.device | str) -> nn.Module:
    """Return the network on `device`, in the memory layout in which convolutions are quickest."""
    return network.to(device).to(memory_format=torch.channels_last)


def _inputs(linear: nn.Module) -> int:
    return int(linear.get_parameter("weight").shape[1])


def _freeze(network: nn.Module, backbone: Backbone) -> None:
    network.requires_grad_(False)
    network.get_submodule(backbone.head).requires_grad_(True)


def _start_from(network: nn.Module, architecture: Architecture) -> None:
    """Load everything but the heads, whose classes are others."""
    backbone = architecture.backbone
    if architecture.weights == "imagenet":
        where, state = "ImageNet", imagenet_state(backbone.imagenet)
    else:
        where, state = architecture.weights, read_state(Path(architecture.weights))
    heads = (f"{backbone.head}.", f"{AUXILIARY}.fc.")
    body = {name: value for name, value in state.items() if not name.startswith(heads)}
    faults = _load_body(network, body, heads)
    if faults:
        raise StsError(
            f"the weights of {where} are not of {backbone.name}: {faults} do not fit; "
            "give the file of this network"
        )


def _load_body(network: nn.Module, body: State, heads: tuple[str, ...]) -> str:
    """Load `body` and return the first name that does not fit, or nothing."""
    ours = network.state_dict()
    # What a stored model of ours carries along, and an output that was taken away.
    extra = [name for name in body if name not in ours and not name.startswith(OPTIONAL)]
    lacking = [
        name
        for name in ours
        if name not in body and not name.startswith((*heads, AUXILIARY)) and COUNTER not in name
    ]
    wrong = [name for name in body if name in ours and ours[name].shape != body[name].shape]
    if faults := extra + lacking + wrong:
        return f"{faults[0]} and {len(faults) - 1} others" if len(faults) > 1 else faults[0]
    network.load_state_dict({**ours, **{n: v for n, v in body.items() if n in ours}})
    return ""
