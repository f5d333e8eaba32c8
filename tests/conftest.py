"""Fixtures every test can use, and the guard over global random state."""

import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def random_state_is_left_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose code draws from, or seeds, a global random generator."""
    before = _random_state()
    yield
    assert _random_state() == before, f"{request.node.nodeid} touched a global random state"


@pytest.fixture(autouse=True)
def the_log_is_left_alone() -> Iterator[None]:
    """Take away what a command of one test has set up, so that the next one hears nothing."""
    logger = logging.getLogger("sts")
    handlers, level = list(logger.handlers), logger.level
    yield
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


@pytest.fixture
def cuda() -> "torch.device":
    """Return the CUDA device, or skip."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device("cuda")
