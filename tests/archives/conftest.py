"""A server and a client for every test that needs them."""

from collections.abc import Iterator

import pytest

from sts.archives.client import Client
from tests.archives.server import Server, asking, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def client() -> Iterator[Client]:
    with asking() as one:
        yield one
