"""What every training shares: progress, the file it resumes from, weights, parts of a step."""

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Generic, TypeVar

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sts.base.errors import StsError
from sts.base.files import atomic_path
from sts.base.model_files import Arrays, check_arrays
from sts.base.settings import to_dict

Tensors = dict[str, Tensor]
N = TypeVar("N", bound=nn.Module)
R = TypeVar("R")

# Name of the metadata of a training's file that contains its progress as JSON.
PROGRESS_KEY: Final = "progress"
# Prefix of the best weights in that file.
BEST_PREFIX: Final = "best."


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingProgress(Generic[R]):
    """How far a training is; `R` is the record of an epoch or of a validation."""

    steps: int = 0
    """Steps or epochs that are done."""
    records: tuple[R, ...] = ()
    best_record: int = 0
    """Number of the best record, counted from 1; 0 if there is none."""
    best_score: float = math.inf
    best_state: Tensors = field(default_factory=dict)
    """Weights at the best record; empty if nothing was scored."""

    @property
    def best(self) -> R | None:
        """Return the best record."""
        return self.records[self.best_record - 1] if self.best_record else None

    @property
    def since_best(self) -> int:
        """Return how many records came after the best one."""
        return len(self.records) - self.best_record

    def is_better(self, score: float, *, gain: float = 0.0) -> bool:
        """Tell whether a score is below the best one by more than the fraction `gain` of it."""
        return score < (1 - gain) * self.best_score

    def add(
        self, record: R, *, better: bool, score: float = math.inf, network: nn.Module | None = None
    ) -> "TrainingProgress[R]":
        """Return the progress with one more record.

        Parameters
        ----------
        better
            This record becomes the best one, with its score and a copy of the weights of `network`.
        """
        longer = replace(self, records=(*self.records, record))
        if not better:
            return longer
        weights = {} if network is None else network.state_dict()
        return replace(
            longer,
            best_record=len(longer.records),
            best_score=score,
            best_state={name: value.detach().clone() for name, value in weights.items()},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingState:
    """Everything that changes while a training runs: networks and their optimisers, by name."""

    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]

    def tensors(self) -> Tensors:
        """Return all tensors by name."""
        named = dict(nn.ModuleDict(dict(self.networks)).state_dict(prefix="network."))
        for name, optimiser in self.optimisers.items():
            for index, values in optimiser.state_dict()["state"].items():
                named |= {f"optimiser.{name}.{index}.{key}": each for key, each in values.items()}
        return {name: value.detach() for name, value in named.items()}

    @torch.no_grad()
    def restore(self, tensors: Tensors) -> None:
        """Load tensors that `tensors` returned."""
        for name, network in self.networks.items():
            network.load_state_dict(_strip(f"network.{name}.", tensors))
        for name, optimiser in self.optimisers.items():
            learned = [each for group in optimiser.param_groups for each in group["params"]]
            states: dict[int, Tensors] = {}
            for key, value in _strip(f"optimiser.{name}.", tensors).items():
                index, _, part = key.partition(".")
                like = learned[int(index)]
                # Fused steps need the memory layout of the parameter.
                laid = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
                states.setdefault(int(index), {})[part] = laid
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})


def _strip(prefix: str, tensors: Tensors) -> Tensors:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def make_key(*parts: object) -> str:
    """Return a digest of settings and arrays: a training resumes only from a file with its key."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(json.dumps(to_dict(part), sort_keys=True).encode())
        digest.update(b"|")
    return digest.hexdigest()


class TrainingFile(Generic[R]):
    """The file that a training writes from time to time and resumes from; None: no file."""

    def __init__(self, path: Path | None, key: str, record: type[R], *, every_s: float) -> None:
        """Name the file.

        Parameters
        ----------
        key
            From `make_key`; a file with another key is not read.
        record
            The dataclass of the records.
        every_s
            Seconds between two writes, which is the work that a kill loses at most.
        """
        self._path, self._key, self._record, self._every_s = path, key, record, every_s
        self._written_s = time.monotonic()

    def restore(self, state: TrainingState) -> TrainingProgress[R]:
        """Return the progress in the file and load its tensors into `state`."""
        stored = None if self._path is None else self._read(self._path)
        if stored is None:
            return TrainingProgress()
        done, tensors = stored
        state.restore(tensors)
        return done

    def keep(self, state: TrainingState, done: TrainingProgress[R]) -> None:
        """Write the progress, if the last write is long enough ago."""
        if self._path is None or time.monotonic() - self._written_s < self._every_s:
            return
        tensors = {f"{BEST_PREFIX}{name}": value for name, value in done.best_state.items()}
        header = {
            "key": self._key,
            "steps": done.steps,
            "best_record": done.best_record,
            # JSON has no infinity.
            "best_score": done.best_score if math.isfinite(done.best_score) else None,
            "records": [asdict(each) for each in done.records],  # type: ignore[call-overload]
        }
        with atomic_path(self._path) as temporary:
            safetensors.torch.save_file(
                {name: value.contiguous() for name, value in (tensors | state.tensors()).items()},
                temporary,
                metadata={PROGRESS_KEY: json.dumps(header)},
            )
        self._written_s = time.monotonic()

    def _read(self, path: Path) -> tuple[TrainingProgress[R], Tensors] | None:
        """Return progress and tensors of the file, None if another training wrote it."""
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get(PROGRESS_KEY, "{}"))
                if header.get("key") != self._key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            score = header["best_score"]
            done = TrainingProgress(
                steps=header["steps"],
                records=tuple(self._record(**each) for each in header["records"]),
                best_record=header["best_record"],
                best_score=math.inf if score is None else score,
                best_state=_strip(BEST_PREFIX, tensors),
            )
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise StsError(
                f"{path} is damaged: remove it, and the training starts again"
            ) from error
        return done, tensors


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def arrays_of(network: nn.Module) -> Arrays:
    """Return the weights of a network as arrays."""
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def forms_of(network: nn.Module) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of every weight of a network, which may be on torch's meta device."""
    return {
        name: (str(value.dtype).removeprefix("torch."), tuple(value.shape))
        for name, value in network.state_dict().items()
    }


def load_arrays(network: nn.Module, arrays: Arrays) -> None:
    """Load stored weights into a network; raise `ValueError` if they do not fit it."""
    check_arrays(arrays, forms_of(network))
    for name, value in arrays.items():
        # Batch norm divides by the square root of a variance.
        if name.endswith("running_var") and (value < 0).any():
            raise ValueError(f"{name} contains a negative variance")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, random: torch.Generator
) -> Tensor:
    """Return the mean squared difference between the norm of the critic's gradient and 1.

    Gradients are taken at a random point on the line between each real and fake sample (Gulrajani
    et al., 2017), always in float32: half precision loses them.

    Parameters
    ----------
    critic
        Takes samples like `real`, (B, ...), and returns a number for each, (B,).
    """
    with torch.autocast(real.device.type, enabled=False):
        shape = (len(real), *(1 for _ in real.shape[1:]))
        place = torch.rand(shape, generator=random, device=real.device)
        between = (place * real.float() + (1 - place) * fake.float()).requires_grad_()
        (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norms = torch.linalg.vector_norm(slopes.flatten(1), dim=1)
        penalty: Tensor = (norms - 1).square().mean()
    return penalty


class MovingAverage(Generic[N]):
    """A moving average of the weights of a network, in evaluation mode.

    torch's `AveragedModel` replaces its weights at the first update instead of averaging them.
    """

    def __init__(self, network: N) -> None:
        """Start at the weights of a network, which must stay on its device from now on."""
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        means, values = self.network.state_dict(), network.state_dict()
        moving = [name for name, value in values.items() if value.is_floating_point()]
        self._means = [means[name] for name in moving]
        self._values = [values[name] for name in moving]

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Update: `decay` times the average, plus `1 - decay` times the weights of the network."""
        torch._foreach_lerp_(self._means, self._values, 1 - decay)
