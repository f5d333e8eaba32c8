"""The device that torch works on, the precision of its products there, and its seeds."""

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from sts.base.errors import StsError
from sts.base.types import Precision

logger = logging.getLogger("sts")

# File that exists where an NVIDIA driver is installed, whether torch can use it or not.
DRIVER: Final = Path("/proc/driver/nvidia/version")
# First compute capability with bfloat16 in hardware; older GPUs emulate it.
BFLOAT16_FROM: Final = (8, 0)
# Options of glibc's mallopt: M_MMAP_MAX, no block gets pages of its own; M_TRIM_THRESHOLD, the
# largest number of free bytes that are kept at the end.
GLIBC_OPTIONS: Final = {-4: 0, -1: 2**31 - 1}


def choose_device(name: str = "auto") -> torch.device:
    """Return the device named `auto`, `cpu`, `cuda` or `cuda:N`, or raise if it is unavailable."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        _warn_of_unused_gpu()
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (":" in name and not (kind == "cuda" and index.isdecimal())):
        raise StsError(f"unknown device {name!r}: choose from auto, cpu, cuda, cuda:0, cuda:1, ...")
    if kind == "cuda":
        _check_cuda(name, int(index or 0))
    return torch.device(name)


def share_devices(name: str, workers: int) -> list[str]:
    """Return a device for each worker process; they share the GPUs of this host, or the CPU."""
    if workers == 1:
        return [name]
    first = choose_device(name)
    if first.type == "cpu" or first.index is not None:
        return [str(first)] * workers
    # One network does not fill a large GPU: several workers can have the same one.
    count = torch.cuda.device_count()
    return [f"cuda:{worker % count}" for worker in range(workers)]


@contextmanager
def share_cores(workers: int, device: str) -> Iterator[None]:
    """Restrict torch to this process's share of the cores, and to its GPU, inside the block."""
    if workers == 1:
        yield
        return
    chosen = torch.cuda.device(device) if device.startswith("cuda") else nullcontext()
    with use_cores(max(1, count_cores() // workers)), chosen:
        yield


def count_cores() -> int:
    """Return the number of cores that torch uses in this process."""
    return torch.get_num_threads()


@contextmanager
def use_cores(count: int) -> Iterator[None]:
    """Let torch use this many cores inside the block."""
    before = count_cores()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def multiply_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute float32 products on a GPU in TF32 or exactly, inside the block.

    `float32` keeps every product and convolution in float32; with all other precisions, products
    that stay in float32 (such as a gradient penalty) use TF32. By default torch uses TF32 for
    convolutions, but not for other products.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    fast = precision != "float32"
    torch.set_float32_matmul_precision("high" if fast else "highest")
    torch.backends.cudnn.allow_tf32 = fast
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def cast_to(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which layers multiply in bfloat16, if the precision asks for it."""
    if precision == "bfloat16" or (precision == "auto" and has_bfloat16(device)):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has bfloat16 in hardware, and does not emulate it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= BFLOAT16_FROM
    # torch has no public function for this. On such a CPU networks train 1.7 times as fast.
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and native is not None and bool(native())


@contextmanager
def draw_from_seed(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block and restore their state after it."""
    device = torch.device(device)
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def mix_seeds(*seeds: int, dtype: type[np.unsignedinteger[Any]] = np.uint32) -> int:
    """Return one seed derived from several, such as the seed of a fit and the number of a step."""
    return int(np.random.SeedSequence(seeds).generate_state(1, dtype)[0])


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, if its C library can.

    The layers of a network free and take the same megabytes in every step. Returned to the system,
    each page costs a page fault when it is taken again: a fifth of a training step on a CPU.
    """
    with suppress(AttributeError, OSError, TypeError):
        set_option = ctypes.CDLL(None).mallopt
        for option, value in GLIBC_OPTIONS.items():
            set_option(option, value)


def _warn_of_unused_gpu() -> None:
    """Warn that an installed GPU is not used, unless the user has hidden it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if DRIVER.exists() and not hidden:
        logger.warning(
            "this machine has an NVIDIA driver, but torch cannot use a GPU: %s; working on the CPU "
            "(--device cpu says so without this line)",
            _why_no_cuda(),
        )


def _check_cuda(name: str, index: int) -> None:
    if not torch.cuda.is_available():
        raise StsError(f"no CUDA device for {name!r}, {_why_no_cuda()}; or use --device cpu")
    count = torch.cuda.device_count()
    if index >= count:
        seen = ", ".join(f"cuda:{known}" for known in range(count))
        raise StsError(f"no device {name!r}: there are {seen}")


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return "this torch is a CPU build: install torch and torchvision the default way"
    try:
        torch.cuda.get_device_properties(0)
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0].rstrip(".")
    return "torch sees none: check nvidia-smi, CUDA_VISIBLE_DEVICES and, in a container, --nv"
