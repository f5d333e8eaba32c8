"""Weights that are kept: the best ones of a training, its file after a kill, and stored models."""

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

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
R = TypeVar("R")

HEADER: Final = "progress"
BEST: Final = "best."


def copy_state(network: nn.Module) -> Tensors:
    """Return the weights of a network as they are now."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingProgress(Generic[R]):
    """What a training has come to; `R` is what is recorded of an epoch or a validation."""

    steps: int = 0
    """Steps that are over, or epochs."""
    records: tuple[R, ...] = ()
    best_record: int = 0
    """Which record is the best one, counted from 1; 0 where none is."""
    best_score: float = math.inf
    best_state: Tensors = field(default_factory=dict)
    """Weights at the best record; empty where nothing was scored."""

    @property
    def best(self) -> R | None:
        """Return the best record."""
        return self.records[self.best_record - 1] if self.best_record else None

    @property
    def since_best(self) -> int:
        """Return how many records came after the best one."""
        return len(self.records) - self.best_record

    def is_better(self, score: float, *, gain: float = 0.0) -> bool:
        """Tell whether a score is lower than the best one by at least the part `gain` of it."""
        return score < (1 - gain) * self.best_score

    def add(
        self, record: R, *, better: bool, score: float = math.inf, network: nn.Module | None = None
    ) -> "TrainingProgress[R]":
        """Return the progress with one more record.

        Parameters
        ----------
        better
            This record is the best one from now on, with its score and the weights of `network`.
        """
        longer = replace(self, records=(*self.records, record))
        if not better:
            return longer
        state = {} if network is None else copy_state(network)
        best = len(longer.records)
        return replace(longer, best_record=best, best_score=score, best_state=state)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingState:
    """Everything that changes while a training runs: networks and their optimisers, by name."""

    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]

    def tensors(self) -> Tensors:
        """Return all of it under plain names."""
        named = dict(nn.ModuleDict(dict(self.networks)).state_dict(prefix="network."))
        for name, optimiser in self.optimisers.items():
            for index, values in optimiser.state_dict()["state"].items():
                named |= {f"optimiser.{name}.{index}.{key}": each for key, each in values.items()}
        return {name: value.detach() for name, value in named.items()}

    @torch.no_grad()
    def restore(self, tensors: Tensors) -> None:
        """Take over what `tensors` returned."""
        for name, network in self.networks.items():
            network.load_state_dict(_strip(f"network.{name}.", tensors))
        for name, optimiser in self.optimisers.items():
            learned = [each for group in optimiser.param_groups for each in group["params"]]
            states: dict[int, Tensors] = {}
            for key, value in _strip(f"optimiser.{name}.", tensors).items():
                index, _, part = key.partition(".")
                like = learned[int(index)]
                # The same memory layout as the parameter, which fused steps count on.
                laid = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
                states.setdefault(int(index), {})[part] = laid
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})


def _strip(prefix: str, tensors: Tensors) -> Tensors:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def make_key(*parts: object) -> str:
    """Return a digest of settings and arrays, by which a training knows its file."""
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
    """The file that a training is kept in now and then, if there is one."""

    def __init__(self, path: Path | None, key: str, record: type[R], *, every_s: float) -> None:
        """Name the file.

        Parameters
        ----------
        key
            From `make_key`; the file of a training with another key is left alone.
        record
            The dataclass of the records.
        every_s
            A kill loses at most the work of so many seconds.
        """
        self._path, self._key, self._record, self._every_s = path, key, record, every_s
        self._written_s = time.monotonic()

    def restore(self, state: TrainingState) -> TrainingProgress[R]:
        """Return how far the training had come, and put `state` there."""
        found = None if self._path is None else self._read(self._path)
        if found is None:
            return TrainingProgress()
        done, tensors = found
        state.restore(tensors)
        return done

    def keep(self, state: TrainingState, done: TrainingProgress[R]) -> None:
        """Write how far the training has come, unless that was done a moment ago."""
        if self._path is not None and time.monotonic() - self._written_s >= self._every_s:
            self._write(self._path, state, done)
            self._written_s = time.monotonic()

    def _write(self, path: Path, state: TrainingState, done: TrainingProgress[R]) -> None:
        tensors = {f"{BEST}{name}": value for name, value in done.best_state.items()}
        header = {
            "key": self._key,
            "steps": done.steps,
            "best_record": done.best_record,
            # JSON knows no infinity.
            "best_score": done.best_score if math.isfinite(done.best_score) else None,
            "records": [asdict(each) for each in done.records],  # type: ignore[call-overload]
        }
        with atomic_path(path) as temporary:
            safetensors.torch.save_file(
                {name: value.contiguous() for name, value in (tensors | state.tensors()).items()},
                temporary,
                metadata={HEADER: json.dumps(header)},
            )

    def _read(self, path: Path) -> tuple[TrainingProgress[R], Tensors] | None:
        """Return what the file holds, None where another training wrote it."""
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
                if header.get("key") != self._key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            done = self._progress(header, _strip(BEST, tensors))
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise StsError(
                f"{path} is damaged: remove it, and the training starts again"
            ) from error
        return done, tensors

    def _progress(self, header: dict[str, Any], best: Tensors) -> TrainingProgress[R]:
        score = header["best_score"]
        return TrainingProgress(
            steps=header["steps"],
            records=tuple(self._record(**each) for each in header["records"]),
            best_record=header["best_record"],
            best_score=math.inf if score is None else score,
            best_state=best,
        )


def arrays_of(network: nn.Module) -> Arrays:
    """Return the weights of a network as arrays."""
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def forms_of(network: nn.Module) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of all weights of a network, which may be on torch's meta device."""
    return {
        name: (str(value.dtype).removeprefix("torch."), tuple(value.shape))
        for name, value in network.state_dict().items()
    }


def load_arrays(network: nn.Module, arrays: Arrays) -> None:
    """Give a network stored weights; raise `ValueError` where they are not those of such a one."""
    check_arrays(arrays, forms_of(network))
    for name, value in arrays.items():
        # The square root of a variance is divided by.
        if name.endswith("running_var") and (value < 0).any():
            raise ValueError(f"{name} holds a negative variance")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
