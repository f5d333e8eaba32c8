"""Small models, so that transfer is tested in seconds."""

from collections.abc import Iterator

import pytest

from sts.studies.classify.transfer import recipes, worlds
from tests.studies.classify.transfer.worlds import SMALL


@pytest.fixture(scope="module")
def small_models() -> Iterator[None]:
    """Grow few trees, in one world a half, and draw with fewer pixels: the same in less time."""
    patched = pytest.MonkeyPatch()
    patched.setattr(recipes, "PAIR", SMALL)
    patched.setattr(worlds, "WORLDS", 1)
    patched.setattr("sts.reports.figures.style.DPI", 40)
    yield
    patched.undo()
