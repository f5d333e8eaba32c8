"""The table of the networks, their initial weights, and their construction."""

import hashlib
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from sts.base.errors import StsError, one_of
from sts.base.files import special_kind
from sts.base.settings import Bounds, check_fields, shorten
from sts.base.types import CLASSES
from sts.learning.device import draw_from_seed
from sts.scalograms.image import ImageSettings
from sts.signals.resample import SAMPLES

State = dict[str, Tensor]
Freeze = Literal["NONE", "FULL"]

# Layer names in torchvision's DenseNet files, which are older than the rule against dots in names.
OLD_DENSE: Final = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
# Weight of the loss of InceptionV3's auxiliary output (Szegedy et al., 2015).
AUXILIARY_SHARE: Final = 0.4
# Name of the layer with the auxiliary output.
AUXILIARY: Final = "AuxLogits"
# Prefixes of tensors that a file can contain in addition to the weights of a network.
OPTIONAL: Final = (f"{AUXILIARY}.", "novelty.")
# Name of a counter of batch norm, which old files of weights do not have.
COUNTER: Final = "num_batches_tracked"


def read_imagenet_state(weights: Any) -> State:
    """Return the state of a torchvision weights object; download it if it is missing.

    The hash in the file name is checked at every load; torch.hub checks it only when downloading.
    """
    name = Path(urlsplit(weights.url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    wanted = name.rsplit("-", 1)[1].removesuffix(".pth")
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Written to a temporary file and renamed: other processes never read half a file.
            torch.hub.download_url_to_file(
                weights.url, str(path), hash_prefix=wanted, progress=False
            )
        except (OSError, RuntimeError) as error:
            raise StsError(
                f"no ImageNet weights {name}, and they could not be fetched: download them from "
                f"{weights.url} and put them in {path.parent}, or use --weights none"
            ) from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(wanted):
        raise StsError(
            f"the ImageNet weights {path} are damaged (sha256 {digest[:8]}, expected {wanted}): "
            f"remove the file, and fetch it again from {weights.url}"
        )
    return read_state(path)


def read_state(path: Path) -> State:
    """Return the tensors of a .safetensors file, or of a .pth file that contains nothing else."""
    try:
        if kind := special_kind(path):
            raise StsError(
                f"cannot read the weights {path}: it is {kind}, a regular file is needed"
            )
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            # A full pickle could run any code.
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StsError(f"no weights at {path}: give imagenet, none or a file") from None
    except pickle.UnpicklingError as error:
        raise StsError(f"refused {path}: it contains more than plain weights") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise StsError(f"cannot read the weights {path}: is the file whole?") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise StsError(f"{path} contains no weights of a network: it must have names and tensors")
    if wrong := [name for name, value in state.items() if not torch.isfinite(value).all()]:
        raise StsError(f"{path}: {shorten(wrong[0])} contains values that are not finite")
    return {OLD_DENSE.sub(r"\1\2", str(name)): value for name, value in state.items()}


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One of the four published networks, or a network of traces."""

    name: str
    build: Callable[..., nn.Module]
    imagenet: Any
    """The torchvision weights from which the published models were trained; None: no such ones."""
    head: str
    """Name of the last layer, or of the block that ends with it."""
    side: int = 224
    smallest: tuple[int, int] = (32, 32)
    """Smallest height and width of its images."""
    content: str = "scalogram"
    """What its images show."""
    auxiliary_from: int | None = None
    """Smallest side of images for which the auxiliary output can be computed."""
    options: tuple[tuple[str, Any], ...] = ()


def _build_trace_net(**options: Any) -> nn.Module:
    # Imported only where it is used.
    from sts.networks.trace_network import TraceNet

    return TraceNet(**options)


BACKBONES: Final = {
    1: Backbone(
        name="ResNet18",
        build=models.resnet18,
        imagenet=models.ResNet18_Weights.IMAGENET1K_V1,
        head="fc",
        # Its layers pad: the last maps of lower images have one row too. Not of narrower ones: if a
        # stride leads to one column, oneDNN's bfloat16 gradient reads memory that nobody has set.
        smallest=(8, 32),
    ),
    2: Backbone(
        name="InceptionV3",
        build=models.inception_v3,
        imagenet=models.Inception_V3_Weights.IMAGENET1K_V1,
        head="fc",
        # 299: the smallest side whose last feature map is still 8 x 8.
        side=299,
        smallest=(75, 75),
        auxiliary_from=299,
        # Our images are standardised by their own statistics, not by those of photographs.
        # torchvision's own initial weights take seconds and give a warning that they will change.
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
    5: Backbone(
        name="TraceNet",
        build=_build_trace_net,
        imagenet=None,
        head="head",
        smallest=(1, 1),
        content="trace",
    ),
}
# The numbers of the published networks, which have ImageNet weights and take scalograms.
PUBLISHED_NUMBERS: Final = tuple(n for n, backbone in BACKBONES.items() if backbone.imagenet)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network, its trained layers, and its initial weights."""

    number: int
    freeze: Freeze = "NONE"
    """FULL trains only the head and keeps the weights and batch-norm statistics of the rest."""
    weights: str = "imagenet"
    """`imagenet`, `none` or the path of a file."""
    classes: Annotated[int, Bounds(2, 1000)] = len(CLASSES)

    def __post_init__(self) -> None:
        """Raise an error for a network that is not in the table."""
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
        self,
        size: int | tuple[int, int] | None = None,
        *,
        parity: str = "direct",
        one_sweep: bool = False,
    ) -> ImageSettings:
        """Return settings of images for this network.

        Parameters
        ----------
        size
            Pixels of a side, or height and width; the network's own square if None. With the same
            number of pixels a wide image shows more: neighbouring frequencies are similar, and
            spikes are lost if columns are more than a few ms apart.
        """
        if self.backbone.content == "trace":
            if size is not None:
                raise StsError(
                    f"{self.backbone.name} takes whole sweeps, not images: leave out --image-size"
                )
            return ImageSettings(height=1, width=SAMPLES, content="trace", one_sweep=one_sweep)
        side = self.backbone.side if size is None else size
        height, width = (side, side) if isinstance(side, int) else side
        self.check_size(height, width)
        return ImageSettings(height=height, width=width, parity=parity, one_sweep=one_sweep)

    def check_size(self, height: int, width: int) -> None:
        """Raise if images of this size are too small for the poolings of the network."""
        least = self.backbone.smallest
        if height < least[0] or width < least[1]:
            raise StsError(
                f"{self.backbone.name} needs images of at least {least[0]} x {least[1]} pixels "
                f"(height x width), not {height} x {width}: give a larger --image-size"
            )


def make_network(
    architecture: Architecture, *, dropout: float = 0.0, auxiliary: bool = False, seed: int = 0
) -> nn.Module:
    """Return a network with a head for our classes, in evaluation mode, on the CPU.

    Parameters
    ----------
    auxiliary
        Keep InceptionV3's second output, which is used only in training; no other network has one.
    seed
        Seed of the random weights: those of the head, or all of them.
    """
    backbone = architecture.backbone
    with draw_from_seed(seed):
        network: nn.Module = backbone.build(weights=None, **dict(backbone.options))
        old = network.get_submodule(backbone.head)
        last = old if isinstance(old, nn.Linear) else list(old.children())[-1]
        linear = nn.Linear(_count_inputs(last), architecture.classes)
        setattr(network, backbone.head, nn.Sequential(nn.Dropout(dropout), linear))
        if backbone.auxiliary_from is not None and auxiliary:
            branch = network.get_submodule(AUXILIARY)
            inputs = _count_inputs(branch.get_submodule("fc"))
            branch.fc = nn.Linear(inputs, architecture.classes)
        else:
            drop_auxiliary(network)
    for layer in network.modules():
        if type(layer) is nn.Conv2d:
            layer.__class__ = _FlatConv2d
    if backbone.build is models.inception_v3:
        # Imported only where it is used.
        from sts.networks.inception import speed_up

        speed_up(network)
    if architecture.weights != "none":
        _load_start(network, architecture)
    if architecture.freeze == "FULL":
        network.requires_grad_(False)
        network.get_submodule(backbone.head).requires_grad_(True)
    return network.eval()


class _FlatConv2d(nn.Conv2d):
    """A convolution that leaves out the rows of its kernel that only meet padding.

    In wide, low images the last maps have one row: two thirds of a kernel of three rows, and of
    its gradient, would multiply zeros.
    """

    def forward(self, maps: Tensor) -> Tensor:
        pad, stride, dilation = (
            int(each[0]) for each in (self.padding, self.stride, self.dilation)
        )
        height, taps = maps.shape[2], self.kernel_size[0]
        span = height + 2 * pad - dilation * (taps - 1) - 1
        if pad == 0 or self.padding_mode != "zeros" or span < 0:
            return super().forward(maps)
        last = span // stride * stride
        used = [k for k in range(taps) if -last <= k * dilation - pad < height]
        top = pad - used[0] * dilation
        rows = (height + 2 * top - dilation * (len(used) - 1) - 1) // stride
        if len(used) == taps or top < 0 or rows * stride != last:
            return super().forward(maps)
        kernel = self.weight[:, :, used[0] : used[-1] + 1]
        padding, groups = (top, int(self.padding[1])), self.groups
        flat: Tensor = functional.conv2d(
            maps, kernel, self.bias, self.stride, padding, self.dilation, groups
        )
        return flat


def find_head(network: nn.Module) -> nn.Sequential:
    """Return the layers that compute logits from features: dropout and a linear layer."""
    for backbone in BACKBONES.values():
        head = getattr(network, backbone.head, None)
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            return head
    raise ValueError(f"this {type(network).__name__} is not from make_network")


def drop_auxiliary(network: nn.Module) -> None:
    """Remove InceptionV3's auxiliary output; other networks have none."""
    if getattr(network, AUXILIARY, None) is not None:
        setattr(network, AUXILIARY, None)
        setattr(network, "aux_logits", False)  # noqa: B010 - only InceptionV3 has it


def split_outputs(output: Any) -> tuple[Tensor, Tensor | None]:
    """Return logits and, if there are any, auxiliary logits of the output of a network."""
    if isinstance(output, Tensor):
        return output, None
    logits, auxiliary = output
    return logits, auxiliary


def place_network(network: nn.Module, device: torch.device | str) -> nn.Module:
    """Move a network to `device`, in the memory layout that is fastest for convolutions."""
    return network.to(device).to(memory_format=torch.channels_last)


def _count_inputs(linear: nn.Module) -> int:
    return int(linear.get_parameter("weight").shape[1])


def _load_start(network: nn.Module, architecture: Architecture) -> None:
    """Load all weights except those of the heads, which are for other classes."""
    backbone = architecture.backbone
    if architecture.weights == "imagenet":
        if backbone.imagenet is None:
            raise StsError(
                f"there are no ImageNet weights of {backbone.name}: give --weights none or a file"
            )
        where, state = "ImageNet", read_imagenet_state(backbone.imagenet)
    else:
        where, state = architecture.weights, read_state(Path(architecture.weights))
    heads = (f"{backbone.head}.", f"{AUXILIARY}.fc.")
    body = {name: value for name, value in state.items() if not name.startswith(heads)}
    ours = network.state_dict()
    extra = [name for name in body if name not in ours and not name.startswith(OPTIONAL)]
    missing = [
        name
        for name in ours
        if name not in body and not name.startswith((*heads, AUXILIARY)) and COUNTER not in name
    ]
    wrong = [name for name in body if name in ours and ours[name].shape != body[name].shape]
    if faults := extra + missing + wrong:
        others = f" and {len(faults) - 1} others" if len(faults) > 1 else ""
        raise StsError(
            f"the weights of {where} are not of {backbone.name}: {faults[0]}{others} do not fit; "
            "give the file of this network"
        )
    network.load_state_dict({**ours, **{n: v for n, v in body.items() if n in ours}})
