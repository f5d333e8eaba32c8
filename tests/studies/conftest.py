"""What the tests of several studies share: a server on loopback."""

from collections.abc import Iterator

import pytest

from tests.archives.server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running
