"""What the tests of several studies share: a server on loopback, and coarse pictures."""

from collections.abc import Iterator

import pytest

from tests.archives.server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def coarse_pictures() -> Iterator[None]:
    """Draw with fewer pixels: the same figures in less time."""
    patched = pytest.MonkeyPatch()
    patched.setattr("sts.reports.figures.style.DPI", 40)
    yield
    patched.undo()
