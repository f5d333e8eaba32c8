"""A model that is trained once, and no pictures after its own."""

from pathlib import Path

import pytest

from sts.cli.baseline import main
from sts.cli.run import Status
from tests.studies.classify.tables.worlds import QUICK, make_workspace


@pytest.fixture(autouse=True)
def no_pictures_after_the_first(no_pictures: None) -> None:
    """Write empty pictures: `trained` has drawn them all."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("trained") / "world")
    with pytest.MonkeyPatch.context() as patched:
        # The same figures in less time.
        patched.setattr("sts.reports.figures.style.DPI", 40)
        assert main(["--root", str(root), *QUICK]) == Status.DONE
    return root
