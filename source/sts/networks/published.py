"""The published models, read from their pickles without running any code in them.

A pickle names the functions and classes that it calls. Here every name in a published model gets a
stand-in of ours that only stores its arguments; any other name stops the reading. Then the weights
are copied from the stand-ins into a new network.
"""

import contextlib
import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from sts.base.errors import StsError
from sts.networks.backbones import BACKBONES, Architecture, State, make_network
from sts.networks.checkpoint import Model, ModelCard, model_folder, save_model
from sts.scalograms.image import ImageSettings

# Module and class of torchvision -> number of the network.
ROOTS: Final = {
    ("torchvision.models.resnet", "ResNet"): 1,
    ("torchvision.models.inception", "Inception3"): 2,
    ("torchvision.models.densenet", "DenseNet"): 3,
    ("torchvision.models.mobilenetv2", "MobileNetV2"): 4,
}
# Number of the network -> names of the published folder.
PUBLISHED_FOLDERS: Final = {
    1: ("ResNet18_best_models",),
    2: ("InceptionV3_best_models", "Incep_v3_best_models"),
    3: ("DenseNet121_best_models",),
    4: ("MobileNetV2_best_models", "MobileNet_v2_best_models"),
}
PICKLE_NAMES: Final = ("best_model.pkl", "best_estimator.pkl")
# Number of the network -> height and width; 244 is in the published code.
IMAGE_SIZES: Final = {1: (224, 244), 2: (299, 299), 3: (224, 244), 4: (224, 244)}
ESTIMATOR: Final = ("__main__", "MyEstimator")
LAYERS: Final = frozenset(
    {
        *ROOTS,
        ESTIMATOR,
        ("torchvision.models.resnet", "BasicBlock"),
        ("torchvision.models.inception", "BasicConv2d"),
        ("torchvision.models.inception", "InceptionA"),
        ("torchvision.models.inception", "InceptionB"),
        ("torchvision.models.inception", "InceptionC"),
        ("torchvision.models.inception", "InceptionD"),
        ("torchvision.models.inception", "InceptionE"),
        ("torchvision.models.inception", "InceptionAux"),
        ("torchvision.models.densenet", "_DenseBlock"),
        ("torchvision.models.densenet", "_DenseLayer"),
        ("torchvision.models.densenet", "_Transition"),
        ("torchvision.models.mobilenetv2", "InvertedResidual"),
        # Two names of one block in different releases.
        ("torchvision.ops.misc", "Conv2dNormActivation"),
        ("torchvision.ops.misc", "ConvNormActivation"),
        ("torch.nn.modules.activation", "ReLU"),
        ("torch.nn.modules.activation", "ReLU6"),
        ("torch.nn.modules.batchnorm", "BatchNorm2d"),
        ("torch.nn.modules.container", "Sequential"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torch.nn.modules.dropout", "Dropout"),
        ("torch.nn.modules.linear", "Linear"),
        ("torch.nn.modules.pooling", "AdaptiveAvgPool2d"),
        ("torch.nn.modules.pooling", "AvgPool2d"),
        ("torch.nn.modules.pooling", "MaxPool2d"),
    }
)
# torchvision's InceptionV3 adapts its input to the standardisation of other weights: channel c
# becomes SCALE[c] * x + SHIFT[c].
SCALE: Final = (0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5)
SHIFT: Final = ((0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5)
# First bytes of an archive of torch.save, and first number of its older format.
ZIP: Final = b"PK\x03\x04"
TORCH_MAGIC: Final = 0x1950A86A20F9469CFC6C
OF_TORCH: Final = (
    "is an archive of torch.save, not a pickle of a whole estimator as the published models are: "
    "name the folder with the published best_model.pkl, or give weights to TRAIN with --weights"
)
# Types of numpy numbers that a pickle can contain.
NUMPY_TYPES: Final = ("f4", "f8", "i4", "i8", "b1")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One model that was converted."""

    name: str
    pickle: Path
    folder: Path


class _Part:
    """Stand-in for a layer, a network or the estimator: stores its attributes, does nothing."""

    origin: tuple[str, str]


def find_published_models(folder: Path) -> dict[int, Path]:
    """Return the pickle of each network under `folder`, by model number."""
    pickles = {}
    for number, names in PUBLISHED_FOLDERS.items():
        places = [folder / name / file for file in PICKLE_NAMES for name in names]
        if existing := [place for place in places if place.is_file()]:
            pickles[number] = existing[0]
    if not pickles:
        raise StsError(
            f"no published model under {folder}: expected folders such as "
            f"{PUBLISHED_FOLDERS[1][0]} with {' or '.join(PICKLE_NAMES)}"
        )
    return pickles


def import_published(path: Path) -> Model:
    """Return a published model in our form: pywt parity, no standardisation, its own image size."""
    content = _unpickle(path)
    if type(content) is int and content == TORCH_MAGIC:
        raise StsError(f"{path} {OF_TORCH}")
    estimator = vars(content) if _find_origin(content) == ESTIMATOR else {}
    root = estimator.get("model", content)
    number = ROOTS.get(_find_origin(root) or ("", ""))
    if number is None:
        raise StsError(f"{path} contains none of the four networks: is it a published model?")
    try:
        state, dropout, freeze = _convert(root, number)
        architecture = Architecture(number=number, freeze=freeze, weights="none")
        network = make_network(architecture, dropout=dropout)
        network.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        name = BACKBONES[number].name
        raise StsError(f"{path} is not a published {name} of 4 classes: fetch it again") from error
    height, width = IMAGE_SIZES[number]
    size = estimator.get("size_model")
    if isinstance(size, tuple | list) and [type(side) for side in size] == [int, int]:
        height, width = size
    card = ModelCard(
        name=architecture.backbone.name,
        architecture=architecture,
        images=ImageSettings(height=height, width=width, parity="pywt"),
        dropout=dropout,
        origin="published by Amprimo et al. (2025)",
    )
    return Model(network=network, card=card)


def import_models(models: Path, folder: Path, *, force: bool = False) -> list[Imported]:
    """Convert every published model under `folder` into one of ours in the folder `models`."""
    imported = []
    for path in find_published_models(folder).values():
        model = import_published(path)
        place = model_folder(models, model.card.architecture)
        if place.exists() and not force:
            raise StsError(f"{place} contains a model already: add --force to replace it")
        save_model(place, model)
        imported.append(Imported(name=model.card.name, pickle=path, folder=place))
    return imported


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            if file.read(len(ZIP)) == ZIP:
                raise StsError(f"{path} {OF_TORCH}")
            file.seek(0)
            return _Reader(file).load()
    except StsError:
        raise
    except RefusedError as error:
        raise StsError(
            f"refused {path}: it uses {error}, unlike the published models; nothing was run"
        ) from None
    except OSError as error:
        raise StsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    # A damaged pickle can raise any error.
    except Exception as error:
        raise StsError(f"{path} is damaged or no pickle: fetch it again") from error


class RefusedError(Exception):
    """A pickle contains a name that is not allowed."""


class _Reader(pickle.Unpickler):
    """Read a pickle that can call only stand-ins."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__(file)
        # New ones for every file: a pickle may set attributes of the stand-ins.
        self._known = _make_stand_ins()

    def find_class(self, module: str, name: str, /) -> Any:
        """Return the stand-in for an exact name."""
        if (module, name) not in self._known:
            raise RefusedError(f"{module}.{name}")
        return self._known[module, name]

    def persistent_load(self, identity: Any) -> Any:
        """Raise an error for references to objects outside the pickle."""
        raise RefusedError("something outside the file")


def _make_stand_ins() -> dict[tuple[str, str], Any]:
    known: dict[tuple[str, str], Any] = {
        name: type(f"_{name[1]}", (_Part,), {"origin": name}) for name in LAYERS
    }

    class Kind:
        """Stand-in for a numpy dtype in the settings of an estimator."""

        def __init__(self, text: str, *rest: object) -> None:
            self.text = text

        def __setstate__(self, state: object) -> None:
            pass

    def tensor(
        flat: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: object
    ) -> Tensor:
        if np.prod(size, dtype=float) > flat.numel():
            raise ValueError("a tensor larger than its storage")
        return torch.as_strided(flat, size, stride, offset).clone()

    def parameter(data: Tensor, learns: bool, *rest: object) -> Tensor:
        return data.requires_grad_(learns)

    def number(kind: Kind, data: bytes) -> object:
        if kind.text not in NUMPY_TYPES:
            raise ValueError(f"no number: {kind.text}")
        return np.frombuffer(data, dtype=f"<{kind.text}")[0].item()

    def encode(text: str, encoding: str) -> bytes:
        return text.encode("latin1")

    plain: dict[tuple[str, str], Callable[..., Any]] = {
        ("torch.storage", "_load_from_bytes"): _load_storage,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): parameter,
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
        ("_codecs", "encode"): encode,
        ("numpy", "dtype"): Kind,
        ("numpy.core.multiarray", "scalar"): number,
        ("numpy._core.multiarray", "scalar"): number,
    }
    return known | plain


def _load_storage(data: bytes) -> Tensor:
    """Return the storage of a tensor, which is a pickle within the pickle."""
    # The function that torch calls here would unpickle `data` without any check.
    try:
        typed = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    # A damaged pickle can raise any error.
    except Exception as error:
        if hidden := _find_foreign_name(data):
            raise RefusedError(f"{hidden}, hidden in a tensor") from error
        raise
    return torch.empty(0, dtype=typed.dtype).set_(typed._untyped_storage)


def _find_foreign_name(data: bytes) -> str:
    """Return the first name in a pickle that is not from torch or collections, else ""."""
    texts: list[str] = []
    # A damaged pickle can raise any error; the names before it have been read.
    with contextlib.suppress(Exception):
        for code, value, _ in pickletools.genops(data):
            if isinstance(value, str):
                texts.append(value)
            if code.name in ("GLOBAL", "INST"):
                module, _, name = str(value).partition(" ")
            elif code.name == "STACK_GLOBAL":
                module, name = texts[-2:]
            else:
                continue
            if module.partition(".")[0] not in ("torch", "collections"):
                return f"{module}.{name}"
    return ""


def _find_origin(value: Any) -> tuple[str, str] | None:
    return type(value).origin if isinstance(value, _Part) else None


def _convert(root: _Part, number: int) -> tuple[State, float, Any]:
    """Return the state with the names of our network, the dropout, and the freeze level."""
    state: State = {}
    dropouts: dict[str, float] = {}
    _collect(root, "", state, dropouts)
    backbone = BACKBONES[number]
    state = {name: value for name, value in state.items() if not name.startswith("AuxLogits.")}
    if vars(root).get("transform_input"):
        _fold_input(state)
    head = {name: value for name, value in state.items() if name.startswith(f"{backbone.head}.")}
    body = {name: value for name, value in state.items() if name not in head}
    # The head is a layer, or a dropout and a layer; in MobileNetV2 behind another dropout.
    renamed = {f"{backbone.head}.1.{name.rsplit('.', 1)[1]}": value for name, value in head.items()}
    if len(renamed) != len(head):
        raise ValueError("more than one layer in the head")
    inside = [rate for name, rate in dropouts.items() if name.startswith(f"{backbone.head}.")]
    frozen = not any(value.requires_grad for value in body.values())
    plain = {name: value.detach() for name, value in {**body, **renamed}.items()}
    return plain, inside[-1] if inside else 0.0, "FULL" if frozen else "NONE"


def _collect(part: Any, prefix: str, state: State, dropouts: dict[str, float]) -> None:
    """Collect the tensors and the dropout rates of a stand-in and of those inside it."""
    if prefix.count(".") > 12:
        raise ValueError("too many layers within layers")
    inside = vars(part)
    for name, value in {**inside["_parameters"], **inside["_buffers"]}.items():
        if isinstance(value, Tensor):
            state[f"{prefix}{name}"] = value
    if _find_origin(part) == ("torch.nn.modules.dropout", "Dropout"):
        dropouts[prefix] = float(inside["p"])
    for name, child in inside["_modules"].items():
        if child is not None:
            _collect(child, f"{prefix}{name}.", state, dropouts)


def _fold_input(state: State) -> None:
    """Fold InceptionV3's input transform into its first convolution, which has no padding.

    The kernels are scaled. The shift adds the same constant to every pixel, so it is subtracted
    from the mean of the batch norm behind the convolution.
    """
    layer = "Conv2d_1a_3x3"
    kernels = state[f"{layer}.conv.weight"]
    learns = kernels.requires_grad
    exact = kernels.detach().double()
    scale, shift = (torch.tensor(values).double()[:, None, None] for values in (SCALE, SHIFT))
    added = (exact * shift).sum(dim=(1, 2, 3))
    state[f"{layer}.conv.weight"] = (exact * scale).float().requires_grad_(learns)
    mean = state[f"{layer}.bn.running_mean"].double() - added
    state[f"{layer}.bn.running_mean"] = mean.float()
