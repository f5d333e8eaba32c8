"""A scalogram of a tone tells whether a device computes right."""

import pytest
import torch

from sts.scalograms import device as module
from sts.scalograms.device import check_device
from sts.scalograms.transform import Transform


def test_the_cpu_passes_the_check() -> None:
    check = check_device("cpu")
    assert check.sound, check
    assert 0 < check.error <= 1e-4
    assert check.facts["torch"] == torch.__version__
    assert check.facts["torchvision"] == "fits torch"
    assert check.facts["device"] == "cpu"


def test_a_device_that_miscalculates_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Transform):
        def __call__(self, traces_mv: torch.Tensor, **rest: torch.Tensor | None) -> torch.Tensor:
            return super().__call__(traces_mv) * 1.001

    monkeypatch.setattr(module, "Transform", Wrong)
    check = check_device("cpu")
    assert not check.sound
    # One part in a thousand, as it was made wrong.
    assert check.error == pytest.approx(1e-3, rel=0.1)


def test_a_torchvision_that_does_not_fit_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_torchvision_mismatch", lambda: "operator does not exist")
    check = check_device("cpu")
    assert not check.sound
    assert check.facts["torchvision"] == "operator does not exist"


@pytest.mark.cuda
def test_cuda_passes_the_check(cuda: torch.device) -> None:
    assert check_device(cuda).sound
