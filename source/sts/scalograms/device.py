"""A check that a device computes scalograms correctly."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.nn import functional

from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings, TraceSource
from sts.scalograms.transform import Transform
from sts.scalograms.wavelet import sum_directly
from sts.signals.resample import RATE_HZ, SAMPLES

# Frequency of the test signal.
TONE_HZ: Final = 60.0
# Largest errors that pass, relative to the largest coefficient. TF32 gives images errors of 1e-3.
FULL_TOLERANCE: Final = 1e-5
IMAGE_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class DeviceCheck:
    """Facts about a device, and the error of a scalogram computed on it."""

    facts: dict[str, str]
    error: float
    """The larger error of full and image resolution, relative to the largest coefficient."""
    sound: bool


def check_device(device: torch.device | str) -> DeviceCheck:
    """Compute the scalogram of a tone on `device` and compare it with its definition."""
    device = torch.device(device)
    trace = np.sin(2 * np.pi * TONE_HZ * np.arange(SAMPLES) / RATE_HZ).astype(np.float32)
    truth = torch.from_numpy(sum_directly(trace))
    largest = truth.abs().max()
    settings = ImageSettings()
    wanted = functional.interpolate(
        truth[None, None], size=(settings.height, settings.width), mode="bilinear"
    )[0, 0]
    full = Transform(device=device)(torch.from_numpy(trace[None]))[0].cpu()
    source = TraceSource(np.stack([[trace, trace]]), settings, device)
    image = ImageBank(source, settings, device).images([0])[0, 0].cpu()
    full_error = float((full - truth).abs().max() / largest)
    image_error = float((image - wanted).abs().max() / largest)
    mismatch = _torchvision_mismatch()
    return DeviceCheck(
        facts={
            "torch": torch.__version__,
            "CUDA of torch": torch.version.cuda or "none, a CPU build",
            "GPU": _gpu(device),
            "device": str(device),
            "torchvision": mismatch or "fits torch",
        },
        error=max(full_error, image_error),
        sound=not mismatch and full_error <= FULL_TOLERANCE and image_error <= IMAGE_TOLERANCE,
    )


def _gpu(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU seen"


def _torchvision_mismatch() -> str:
    """Return the fault of torchvision, "" if there is none."""
    try:
        from torchvision import ops

        ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError) as error:
        return f"{str(error).splitlines()[0]}: install torch and torchvision in one command"
    return ""
