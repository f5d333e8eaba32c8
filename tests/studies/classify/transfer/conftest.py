"""Small models, so that transfer is tested in seconds."""

from collections.abc import Iterator

import pytest

from sts.studies.classify.transfer import carry_over, recipes
from tests.studies.classify.transfer.worlds import SMALL


@pytest.fixture(scope="module")
def small_models() -> Iterator[None]:
    """Grow few trees, simulate one data set a half, and draw fewer pixels, to save time."""
    patched = pytest.MonkeyPatch()
    patched.setattr(recipes, "PAIR", SMALL)
    patched.setattr(carry_over, "SIMULATED", 1)
    patched.setattr("sts.reports.figures.style.DPI", 40)
    yield
    patched.undo()
