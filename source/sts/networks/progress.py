"""How far a fit has come: its loss curves, its best epoch, and the file that survives a kill."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sts.base.errors import StsError
from sts.base.files import atomic_path
from sts.base.settings import to_dict

Tensors = dict[str, Tensor]
HEADER: Final = "fit"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One point of the loss curves."""

    number: int
    """Counted from 1."""
    learning_rate: float
    """At the beginning of the epoch."""
    train_loss: float
    train_accuracy: float
    """Both while it was training, with dropout."""
    validation_loss: float | None
    validation_accuracy: float | None
    better: bool
    """Whether the validation loss was low enough to count as better."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Progress:
    """What a fit has come to after some epochs."""

    curves: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    best_loss: float = math.inf
    best: Tensors = field(default_factory=dict)
    """State of the layers that learn in the best epoch; empty where nothing was validated."""


def key_of(*parts: object) -> str:
    """Return a digest of settings and arrays, by which a fit knows its file."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
        else:
            digest.update(json.dumps(to_dict(part), sort_keys=True).encode())
        digest.update(b"|")
    return digest.hexdigest()


def write_progress(path: Path, key: str, done: Progress, learner: Mapping[str, Tensor]) -> None:
    """Write what is done and the tensors of the learner, whole or not at all."""
    tensors = {f"best.{name}": value for name, value in done.best.items()} | dict(learner)
    header = {
        "key": key,
        "best_epoch": done.best_epoch,
        "best_loss": done.best_loss if math.isfinite(done.best_loss) else None,
        "curves": [asdict(epoch) for epoch in done.curves],
    }
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            temporary,
            metadata={HEADER: json.dumps(header)},
        )


def read_progress(path: Path, key: str) -> tuple[Progress, Tensors] | None:
    """Return what is done and the learner's tensors, None where another fit wrote the file."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            if header.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise StsError(f"{path} is damaged: remove it, and the fit starts again") from error
    best = {name[5:]: value for name, value in tensors.items() if name.startswith("best.")}
    rest = {name: value for name, value in tensors.items() if not name.startswith("best.")}
    return _progress(header, best), rest


def _progress(header: dict[str, Any], best: Tensors) -> Progress:
    loss = header["best_loss"]
    return Progress(
        curves=tuple(Epoch(**epoch) for epoch in header["curves"]),
        best_epoch=header["best_epoch"],
        best_loss=math.inf if loss is None else loss,
        best=best,
    )
