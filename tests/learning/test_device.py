"""The device is chosen aloud, multiplies as asked, and seeds leave no trace."""

import logging
from pathlib import Path

import pytest
import torch

from sts.base.errors import StsError
from sts.learning import device as module
from sts.learning.device import (
    choose_device,
    draw_from_seed,
    multiply_in,
    share_cores,
    share_devices,
)


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


@pytest.mark.parametrize(
    ("driver", "hidden", "warned"), [(True, None, True), (True, "", False), (False, None, False)]
)
def test_a_gpu_that_torch_cannot_use_is_told_of(
    driver: bool,
    hidden: str | None,
    warned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pretend(monkeypatch, 0)
    file = tmp_path / "version"
    if driver:
        file.write_text("NVRM version: 450.80")
    monkeypatch.setattr(module, "DRIVER", file)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)

    def too_old(index: int) -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old.")

    monkeypatch.setattr(torch.cuda, "get_device_properties", too_old)
    with caplog.at_level(logging.WARNING, logger="sts"):
        assert choose_device("auto") == torch.device("cpu")
    assert ("driver on your system is too old" in caplog.text) is warned


@pytest.mark.parametrize(
    ("precision", "fast"),
    [("float32", False), ("tf32", True), ("bfloat16", True), ("auto", True)],
)
def test_only_float32_keeps_products_and_convolutions_exact(precision: str, fast: bool) -> None:
    def state() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = state()
    with multiply_in(precision, torch.device("cuda")):  # type: ignore[arg-type]
        assert state() == ("high" if fast else "highest", fast)
    assert state() == before
    with multiply_in(precision, torch.device("cpu")):  # type: ignore[arg-type]
        assert state() == before


@pytest.mark.cuda
def test_float32_on_cuda_is_float32(cuda: torch.device) -> None:
    with draw_from_seed(0):
        images, weights = torch.randn(8, 64, 32, 32), torch.randn(64, 64, 3, 3)
    truth = torch.nn.functional.conv2d(images.double(), weights.double())

    def error(precision: str) -> float:
        with multiply_in(precision, cuda):  # type: ignore[arg-type]
            found = torch.nn.functional.conv2d(images.to(cuda), weights.to(cuda)).cpu()
        return float((found.double() - truth).abs().max() / truth.abs().max())

    # float32 has 24 bits, of which 576 sums cost some; TF32 rounds each factor to 11.
    assert error("float32") < 1e-5
    assert 1e-5 < error("tf32") < 1e-2


@pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_a_seed_decides_what_is_drawn_and_leaves_no_trace(name: str) -> None:
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    device = torch.device(name)
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        with draw_from_seed(seed, device):
            drawn.append(torch.randn(4, device=device))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_processes_share_the_gpus_or_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 2)
    assert share_devices("auto", 1) == ["auto"]
    assert share_devices("auto", 2) == share_devices("cuda", 2) == ["cuda:0", "cuda:1"]
    assert share_devices("cpu", 3) == ["cpu"] * 3
    assert share_devices("auto", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert share_devices("cuda:1", 2) == ["cuda:1"] * 2
    pretend(monkeypatch, 0)
    assert share_devices("auto", 2) == ["cpu"] * 2


def test_processes_share_the_cores_for_as_long_as_they_work() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        for workers, threads in ((1, 4), (2, 2), (3, 1), (9, 1)):
            with share_cores(workers, "cpu"):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
