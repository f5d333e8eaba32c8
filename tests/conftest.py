"""Fixtures every test can use, and the guard over global random state."""

import logging
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Several processes that each use all cores wait for each other longer than they work. Libraries
# read this when they are loaded, so it stands before all imports of them.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch

REPOSITORY = Path(__file__).resolve().parents[1]
# Files whose tests take longest, the longest first. They start before all others, so that no core
# waits for the last of them.
SLOW_FILES = (
    "studies/classify/networks/test_train.py",
    "test_readme.py",
    "studies/classify/networks/test_published.py",
    "networks/test_train.py",
    "studies/classify/networks/test_predict.py",
    "studies/classify/tables/test_train.py",
    "cli/test_data.py",
    "studies/classify/test_fusion.py",
    "studies/test_calcium.py",
    "search/test_workers.py",
    "search/test_postgres.py",
    "studies/augment/test_benchmark.py",
    "studies/classify/transfer/test_measure.py",
    "studies/classify/types/test_judge.py",
    "studies/test_mutants.py",
    "recordings/test_simulated_realism.py",
    "base/test_parallel.py",
)


def pytest_configure() -> None:
    """Let Ctrl-C interrupt, which tests send: what a shell starts with `&` would ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of slow files first."""
    ranks = {REPOSITORY / "tests" / file: rank for rank, file in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each process whole files, and let one that has no more take half of another's."""
    from xdist.scheduler import WorkStealingScheduling

    # `load` is what `-n` alone stands for.
    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(autouse=True)
def random_state_is_left_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose code draws from, or seeds, a global random generator."""
    before = _random_state()
    yield
    assert _random_state() == before, f"{request.node.nodeid} touched a global random state"


@pytest.fixture(scope="session", autouse=True)
def log_at_start() -> tuple[list[logging.Handler], int]:
    """Return handlers and level of the log before any command has set it up."""
    logger = logging.getLogger("sts")
    return list(logger.handlers), logger.level


@pytest.fixture(autouse=True)
def the_log_is_left_alone(log_at_start: tuple[list[logging.Handler], int]) -> Iterator[None]:
    """Take away what a command of one test or of a module's fixture has set up."""
    _reset_log(*log_at_start)
    yield
    _reset_log(*log_at_start)


def _reset_log(handlers: list[logging.Handler], level: int) -> None:
    logger = logging.getLogger("sts")
    logger.handlers[:] = handlers
    logger.setLevel(level)


def _random_state() -> tuple[object, ...]:
    import torch

    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - what others must not touch
    return (
        random.getstate(),
        kind,
        keys.tobytes(),
        rest,
        torch.random.get_rng_state().numpy().tobytes(),
    )


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data, or skip and say what is missing."""
    folder = Path(os.environ.get("STS_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set STS_TEST_DATA to the folder that contains them")
    return folder


@pytest.fixture(scope="session")
def versions_read_once() -> Iterator[None]:
    """Let Optuna read the list of its database versions once, and not three times a database."""
    from optuna.storages._rdb.storage import _VersionManager

    read: list[object] = []

    def create_once(self: object) -> object:
        if not read:
            read.append(create(self))
        return read[0]

    # Under another name in another release it would be read each time, which only takes longer.
    create = getattr(_VersionManager, "_create_alembic_script", None)
    patched = pytest.MonkeyPatch()
    if create is not None:
        patched.setattr(_VersionManager, "_create_alembic_script", create_once)
    yield
    patched.undo()


@pytest.fixture
def cuda() -> "torch.device":
    """Return the CUDA device, or skip."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device("cuda")
