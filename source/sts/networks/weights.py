"""Weights a network starts from: torchvision's ImageNet files, checked at every load, or a file."""

import hashlib
import pickle
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from sts.base.errors import StsError
from sts.base.files import special_kind
from sts.base.settings import shorten

# torchvision's DenseNet files are older than the rule that module names hold no dots.
OLD_DENSE: Final = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")

State = dict[str, Tensor]


def imagenet_state(weights: Any) -> State:
    """Return the state that a torchvision weights object names, fetched once if need be.

    The hash in its file name is checked at every load; torch.hub does so while fetching only.
    """
    name = Path(urlsplit(weights.url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        _fetch(weights.url, path)
    wanted = name.rsplit("-", 1)[1].removesuffix(".pth")
    with path.open("rb") as file:
        came = hashlib.file_digest(file, "sha256").hexdigest()
    if not came.startswith(wanted):
        raise StsError(
            f"the ImageNet weights {path} are damaged (sha256 {came[:8]}, wanted {wanted}): "
            f"remove the file, and fetch it again from {weights.url}"
        )
    return read_state(path)


def read_state(path: Path) -> State:
    """Return the tensors of a .safetensors file, or of a .pth file that holds nothing else."""
    try:
        if kind := special_kind(path):
            raise StsError(f"cannot read the weights {path}: it is {kind}, a file is wanted")
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            # Never a whole pickle: it could run anything.
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StsError(f"no weights at {path}: give imagenet, none or a file") from None
    except pickle.UnpicklingError as error:
        raise StsError(f"refused {path}: it holds more than plain weights") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise StsError(f"cannot read the weights {path}: is the file whole?") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise StsError(f"{path} holds no state of a network: give names and tensors only")
    if wrong := [name for name, value in state.items() if not torch.isfinite(value).all()]:
        raise StsError(f"{path}: {shorten(wrong[0])} holds what is not a finite number")
    return {OLD_DENSE.sub(r"\1\2", str(name)): value for name, value in state.items()}


def _fetch(url: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # It writes beside the place and renames, so that processes do not meet half a file.
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix=path.stem.rsplit("-", 1)[1], progress=False
        )
    except (OSError, RuntimeError) as error:
        raise StsError(
            f"no ImageNet weights {path.name}, and they could not be fetched: get them from {url} "
            f"and put them in {path.parent}, or use --weights none"
        ) from error
