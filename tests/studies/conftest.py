"""What the tests of several studies share: a server on loopback, and small models."""

from collections.abc import Iterator

import pytest

from sts.studies.baseline.transferring import recipes, worlds
from tests.archives.server import Server, serving
from tests.studies.transfer_world import SMALL


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def small_models() -> Iterator[None]:
    """Grow few trees, in one world a half, and draw with fewer pixels: the same in less time."""
    patched = pytest.MonkeyPatch()
    patched.setattr(recipes, "PAIR", SMALL)
    patched.setattr(worlds, "WORLDS", 1)
    patched.setattr("sts.reports.figures.style.DPI", 40)
    yield
    patched.undo()
