"""The published models, converted from their pickles without running anything in them."""

from dataclasses import dataclass
from pathlib import Path

from sts.base.errors import StsError
from sts.base.workspace import Workspace
from sts.networks.checkpoint import model_folder, save_model
from sts.networks.published import find_published_models, import_published


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One model that was converted."""

    name: str
    pickle: Path
    folder: Path


def import_models(workspace: Workspace, folder: Path, *, force: bool = False) -> list[Imported]:
    """Convert every published model under `folder` into one of ours in the workspace."""
    imported = []
    for path in find_published_models(folder).values():
        model = import_published(path)
        place = model_folder(workspace.models, model.card.architecture)
        if place.exists() and not force:
            raise StsError(f"{place} contains a model already: add --force to replace it")
        save_model(place, model)
        imported.append(Imported(name=model.card.name, pickle=path, folder=place))
    return imported
