"""Databases of searches open fast."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def quick_databases(versions_read_once: None) -> None:
    """Open them as `versions_read_once` does."""
