"""What tests of commands share that draw figures."""

from pathlib import Path

import pytest


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty pictures: drawing takes most of a command's time.

    A test that looks at no picture asks for this. Fixtures of a module or a session, and tests that
    look at pictures, draw them all.
    """

    def save(_: object, stem: Path) -> list[Path]:
        stem.with_name(f"{stem.name}.svg").write_text("<svg/>")
        return [stem.with_name(f"{stem.name}.svg")]

    for module in ("explanations", "saliency", "scalogram", "scores", "training"):
        monkeypatch.setattr(f"sts.reports.figures.{module}.save", save)
