"""A small world in which a network is trained, and the words of a quick training."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sts.datasets.store import write_store
from tests.networks.worlds import make_world

CELLS = 60
SIZE = ("--image-size", "32")
QUICK = ("--weights", "none", *SIZE, "--trials", "1", "--folds", "2")
QUICK += ("--epochs", "2", "--device", "cpu", "-q")
# For tests that look at no picture; `trained` draws all of a training.
UNSEEN = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_workspace(root: Path, *, seed: int = 0, cells: int = CELLS) -> Path:
    for name in ("data", "source"):
        (root / name).mkdir(parents=True)
    write_store(root / "data" / "sweeps.h5", make_world(cells, seed=seed))
    return root


FRESH = """
import sys
import torch
torch.set_num_threads(1)
from sts.cli.sts import main
from sts.reports.figures import style
style.DPI = 40
assert main(sys.argv[2:]) == 0
with open(sys.argv[1], "w") as file:
    print(*(name for name in sys.modules if name.split(".")[0] == "sts"), file=file)
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("trained") / "world")
    words = ["1", "TRAIN", "--root", str(root), *QUICK]
    command = [sys.executable, "-c", FRESH, str(root / "modules.txt"), *words]
    subprocess.run(command, check=True)
    return root


def run_of(root: Path, study: str = "sts") -> Path:
    (run,) = (root / "output" / study / "ResNet18-NONE").glob("*")
    assert (run / "DONE").is_file()
    return run


def report_of(root: Path) -> str:
    return (run_of(root) / "report.json").read_text()
