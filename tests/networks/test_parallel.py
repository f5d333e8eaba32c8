"""Several processes train as one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from sts.base.errors import StsError
from sts.networks.backbones import Architecture
from sts.networks.images import ImageBank
from sts.networks.parallel import ALONE, Group, joined, started_by_torchrun
from sts.networks.settings import TrainSettings
from sts.networks.train import fit
from tests.conftest import REPOSITORY
from tests.networks import together
from tests.networks.worlds import labels_of, make_world


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that two processes wrote to."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'source'}",
        }
        command = [sys.executable, "-m", "tests.networks.together", str(folder)]
        processes.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        )
    for process in processes:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    return folder


def found_by_two(folder: Path, what: str) -> list[dict[str, torch.Tensor]]:
    return [safetensors.torch.load_file(folder / f"{what} of {rank}.safetensors") for rank in "01"]


def test_two_processes_have_the_gradients_of_one(two: Path) -> None:
    one, other = found_by_two(two, "gradients")
    wanted = together.gradients(ALONE)
    assert one.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(one[name], other[name]), name
        # float32 sums in another order, against the layer's largest gradient.
        largest = float(value.abs().max())
        torch.testing.assert_close(one[name], value, rtol=0, atol=1e-4 * largest, msg=name)


def test_a_fit_by_two_processes_is_that_of_one(two: Path, tmp_path: Path) -> None:
    one, other = found_by_two(two, "fit")
    wanted = together.whole_fit(ALONE, tmp_path)
    assert one.pop("heard").tolist() == [1, 2]
    assert other["heard"].tolist() == []
    for name in one:
        value = wanted[name]
        assert torch.equal(one[name], other[name]), name
        # Adam divides by the gradient's size: what is near zero in it moves by rounding alone.
        torch.testing.assert_close(one[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_only_rank_0_writes(two: Path) -> None:
    assert (two / "fit0.safetensors").is_file()
    assert not (two / "fit1.safetensors").exists()


def test_parts_of_all_processes_make_the_whole() -> None:
    rows = np.arange(7)
    parts = [Group(rank=rank, size=3).part(rows).tolist() for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4], [2, 5]]


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert not started_by_torchrun()
    with joined("cpu") as (group, device):
        assert (group, device) == (ALONE, "cpu")
        assert group.is_main
        assert group.share({"a": 1}) == {"a": 1}
        assert group.sum(torch.ones(2)).tolist() == [1, 1]
        group.wait()


def test_a_device_that_torchrun_cannot_give_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "3"), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StsError, match="no CUDA device for torchrun"), joined("cuda"):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(StsError, match="use --nproc-per-node 2"), joined("auto"):
        pass
    with pytest.raises(StsError, match="use --device cuda, not cuda:1"), joined("cuda:1"):
        pass


def test_a_batch_too_small_to_be_divided_is_refused() -> None:
    store = make_world(8)
    architecture = Architecture(number=1, weights="none")
    with pytest.raises(StsError, match="a batch of 4 is too small for 3 processes"):
        fit(
            architecture,
            ImageBank(store, architecture.images(32)),
            labels_of(store),
            train_rows=np.arange(8),
            settings=TrainSettings(batch=4),
            group=Group(rank=0, size=3),
        )


@pytest.mark.cuda
def test_batch_norm_is_synchronised_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    monkeypatch.setattr(
        torch.nn.parallel, "DistributedDataParallel", lambda network, **kwargs: network
    )
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    wrapped = Group(rank=0, size=2).wrap(network, torch.device("cuda", 0))
    assert isinstance(list(wrapped.children())[1], torch.nn.SyncBatchNorm)
