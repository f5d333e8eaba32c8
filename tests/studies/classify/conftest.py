"""What tests of commands share that draw figures."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def quick_databases(versions_read_once: None) -> None:
    """Open databases of searches as `versions_read_once` does."""


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty pictures: drawing takes most of a command's time.

    A test that looks at no picture asks for this. Fixtures of a module or a session, and tests that
    look at pictures, draw them all.
    """

    def save(figure: object, stem: Path, **_: object) -> list[Path]:
        stem.with_name(f"{stem.name}.svg").write_text("<svg/>")
        return [stem.with_name(f"{stem.name}.svg")]

    for module in ("explanations", "saliency", "scalogram", "scores", "training"):
        monkeypatch.setattr(f"sts.reports.figures.{module}.save", save)
    monkeypatch.setattr("sts.reports.trained.save_foreign", save)
    # Thousands of points, one by one.
    monkeypatch.setattr("sts.reports.figures.explanations._draw_class", lambda *_, **__: None)
