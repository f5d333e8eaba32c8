"""Small models, so that transfer is tested in seconds."""

from collections.abc import Iterator

import pytest

from sts.studies.classify.transfer import carry_over, recipes
from tests.studies.classify.transfer.worlds import SMALL


@pytest.fixture(scope="module")
def small_models() -> Iterator[None]:
    """Grow few trees and simulate one data set a half, to save time."""
    patched = pytest.MonkeyPatch()
    patched.setattr(recipes, "PAIR", SMALL)
    patched.setattr(carry_over, "SIMULATED", 1)
    yield
    patched.undo()
