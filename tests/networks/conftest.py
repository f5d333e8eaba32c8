"""A small world and one network fitted in it, shared by the tests of networks."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from sts.base.types import Ints
from sts.datasets.store import SweepStore
from sts.networks.backbones import Architecture
from sts.networks.settings import TrainSettings
from sts.networks.train import Fitted, fit
from sts.scalograms.bank import ImageBank
from tests.networks.worlds import labels_of, make_world

RESNET = Architecture(number=1, weights="none")
TRAIN = np.arange(24)
VALIDATION = np.arange(24, 32)
# What `fitted` has seen, and what it has not.
SEEN = np.arange(40)
UNSEEN = np.arange(40, 64)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    # On tiny images threads wait for each other longer than they work.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def store() -> SweepStore:
    return make_world(64)


@pytest.fixture(scope="session")
def labels(store: SweepStore) -> Ints:
    return labels_of(store)


@pytest.fixture(scope="session")
def bank(store: SweepStore) -> ImageBank:
    return ImageBank(store, RESNET.images(32))


@pytest.fixture(scope="session")
def fitted(bank: ImageBank, labels: Ints) -> Fitted:
    """Return a ResNet18 that has learnt to tell the classes of 40 cells."""
    settings = TrainSettings(batch=8, epochs=8, schedule="one_cycle", learning_rate=1e-3)
    return fit(RESNET, bank, labels, train_rows=SEEN, settings=settings)
