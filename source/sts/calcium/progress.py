"""How far a training has come: its curve, its best generator, and the file that survives a kill."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sts.base.errors import StsError
from sts.base.files import atomic_path
from sts.base.settings import to_dict
from sts.calcium.rivals import Tensors

HEADER: Final = "training"
BEST: Final = "best."


@dataclass(frozen=True, kw_only=True)
class Check:
    """One validation."""

    step: int
    """Of the generator, counted from 1."""
    distance: float
    """What the critic holds apart: mean judgement of real less that of generated windows."""
    generator_loss: float
    score: float
    """Of windows from the averaged generator against the validation windows; lower is better."""
    better: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Progress:
    """What a training has come to after some steps."""

    step: int = 0
    checks: tuple[Check, ...] = ()
    best: Tensors = field(default_factory=dict)
    """The averaged generator at the best validation."""

    @property
    def best_score(self) -> float:
        """Return the lowest score so far."""
        return min((check.score for check in self.checks if check.better), default=math.inf)

    @property
    def best_step(self) -> int:
        """Return the step of the best validation, 0 if there was none."""
        return max((check.step for check in self.checks if check.better), default=0)


def key_of(*parts: object) -> str:
    """Return a digest of settings and arrays, by which a training knows its file."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(json.dumps(to_dict(part), sort_keys=True).encode())
        digest.update(b"|")
    return digest.hexdigest()


def write_progress(path: Path, key: str, done: Progress, rivals: Mapping[str, Tensor]) -> None:
    """Write what is done and the tensors of both networks, whole or not at all."""
    tensors = {f"{BEST}{name}": value for name, value in done.best.items()} | dict(rivals)
    header = {"key": key, "step": done.step, "checks": [asdict(check) for check in done.checks]}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            temporary,
            metadata={HEADER: json.dumps(header)},
        )


def read_progress(path: Path, key: str) -> tuple[Progress, Tensors] | None:
    """Return what is done and the networks' tensors, None where another training wrote the file."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            if header.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise StsError(f"{path} is damaged: remove it, and the training starts again") from error
    best = {n.removeprefix(BEST): v for n, v in tensors.items() if n.startswith(BEST)}
    rest = {name: value for name, value in tensors.items() if not name.startswith(BEST)}
    checks = tuple(Check(**check) for check in header["checks"])
    return Progress(step=header["step"], checks=checks, best=best), rest
