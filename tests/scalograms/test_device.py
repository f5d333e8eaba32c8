"""Choosing a device and trying it."""

import pytest
import torch

from sts.base.errors import StsError
from sts.scalograms import device as module
from sts.scalograms.device import check_device, choose_device
from sts.scalograms.transform import Transform


def pretend(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0)
    assert choose_device("auto") == torch.device("cpu")
    pretend(monkeypatch, 1)
    assert choose_device("auto") == torch.device("cuda")


def test_a_device_is_taken_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 2)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1"):
        assert choose_device(name) == torch.device(name)
    with pytest.raises(StsError, match="no device 'cuda:2': there are cuda:0, cuda:1"):
        choose_device("cuda:2")


def test_cuda_that_is_absent_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(StsError, match=r"no CUDA device for 'cuda:0', this torch is a CPU build"):
        choose_device("cuda:0")
    monkeypatch.setattr(torch.version, "cuda", "12.6")

    def too_old(index: int) -> None:
        raise RuntimeError("The NVIDIA driver is too old (found version 11040).\nMore lines.")

    monkeypatch.setattr(torch.cuda, "get_device_properties", too_old)
    with pytest.raises(
        StsError, match=r"driver is too old \(found version 11040\); or use"
    ) as told:
        choose_device("cuda")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:", "cuda:-1", "cuda:x", "", "cuda:1:2"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(StsError, match=r"unknown device .* choose from auto, cpu, cuda"):
        choose_device(name)


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
