"""Traces made ready for a transform: checked, their baseline removed, their ends continued."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sts.base.types import Ints
from sts.signals.resample import BEFORE_S, RATE_HZ

BASELINE: Final = round(BEFORE_S * RATE_HZ)
# direct: the definition, on a trace free of its baseline and continued by its edge values.
# pywt: what pywt.cwt gives for the raw trace, which it continues by zeros.
PARITIES: Final = ("direct", "pywt")


def check_traces(traces: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless `traces` holds floating-point rows of `shape`."""
    if traces.ndim != len(shape) + 1 or tuple(traces.shape[1:]) != shape:
        wanted = ", ".join(str(size) for size in ("n", *shape))
        raise ValueError(f"traces must be of shape ({wanted}), not {tuple(traces.shape)}")
    if not traces.is_floating_point():
        raise ValueError(f"traces must be floating-point mV, not {traces.dtype}")


def padded(traces_mv: Tensor, pad: int, *, parity: str) -> Tensor:
    """Return traces (n, 4800) as (n, pad + 4800 + pad), continued as `parity` wants it."""
    if parity == "pywt":
        return functional.pad(traces_mv, (pad, pad))
    # Left in, -70 mV make edges three times brighter than any spike and cost float32 its digits.
    resting = traces_mv[:, :BASELINE].mean(dim=1, keepdim=True)
    return functional.pad((traces_mv - resting)[:, None], (pad, pad), mode="replicate")[:, 0]


def on_device(traces_mv: Tensor, device: torch.device) -> Tensor:
    """Return traces as float32 on `device`."""
    return traces_mv.to(device=device, dtype=torch.float32)


def indices_on(rows: Sequence[int] | Ints, device: torch.device) -> Tensor:
    """Return row numbers on `device`; a GPU does not stop for them."""
    index = torch.from_numpy(np.array(rows, dtype=np.int64))
    if device.type != "cuda":
        return index
    # From pageable memory the copy would wait until the GPU has done all it was given so far.
    return index.pin_memory().to(device, non_blocking=True)
