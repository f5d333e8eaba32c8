"""Check this machine: versions of packages, cores, folders to write to, one scalogram."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from sts import __version__
from sts.base.errors import StsError
from sts.base.parallel import worker_count
from sts.base.workspace import Workspace
from sts.learning.device import choose_device
from sts.scalograms.device import check_device

# Data loaders pass batches in shared memory; containers often provide only 64 MB.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108, RUF100 - the mount point itself, no file in it
ENOUGH_SHARED_MB = 256


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was checked."""

    what: str
    found: str
    verdict: str = "ok"
    """`ok`, `note: ...` for information, or the necessary action."""

    @property
    def sound(self) -> bool:
        """Tell whether no action is necessary."""
        return self.verdict == "ok" or self.verdict.startswith("note")


def examine(workspace: Workspace, *, device: str) -> list[Finding]:
    """Check everything that the program needs."""
    return [
        Finding(what="python", found=platform.python_version()),
        *_check_packages(),
        *_check_machine(),
        *_check_folders(workspace),
        *_check_kernel(device),
    ]


def _check_packages() -> Iterator[Finding]:
    try:
        requirements = metadata.requires("spike-train-scalograms") or []
    except metadata.PackageNotFoundError:
        advice = "note: run from its folder; `pip install -e .` adds the commands sts-..."
        yield Finding(what="this package", found="not installed", verdict=advice)
        return
    yield Finding(what="this package", found=__version__)
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None:
            continue
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            verdict = f"missing: pip install '{wanted.name}{wanted.specifier}'"
            yield Finding(what=wanted.name, found="not installed", verdict=verdict)
            continue
        good = wanted.specifier.contains(found, prereleases=True)
        verdict = "ok" if good else f"too old: pip install '{wanted.name}{wanted.specifier}'"
        yield Finding(what=wanted.name, found=found, verdict=verdict)


def _check_machine() -> Iterator[Finding]:
    yield Finding(what="system", found=f"{platform.system()} {platform.machine()}")
    yield Finding(what="cores to use", found=str(worker_count(None)))
    if SHARED_MEMORY.is_dir():
        free_mb = shutil.disk_usage(SHARED_MEMORY).free // 2**20
        little = "note: little shared memory; keep --workers low for training"
        verdict = little if free_mb < ENOUGH_SHARED_MB else "ok"
        yield Finding(what="shared memory", found=f"{free_mb} MB free", verdict=verdict)


def _check_folders(workspace: Workspace) -> Iterator[Finding]:
    for place in (workspace.data, workspace.models, workspace.output):
        standing = next(folder for folder in (place, *place.parents) if folder.exists())
        writable = os.access(standing, os.W_OK)
        free_gb = shutil.disk_usage(standing).free / 2**30
        yield Finding(
            what=f"{place.name}/",
            found=f"{place}, {free_gb:.0f} GB free",
            verdict="ok" if writable else "cannot be written to: choose another --root",
        )


def _check_kernel(device: str) -> Iterator[Finding]:
    try:
        check = check_device(choose_device(device))
    except StsError as error:
        yield Finding(what="device", found=device, verdict=str(error))
        return
    yield from (Finding(what=what, found=found) for what, found in check.facts.items())
    yield Finding(
        what="one scalogram",
        found=f"{check.error:.1e} of the largest coefficient from its definition",
        verdict="ok" if check.sound else "wrong: reinstall torch and torchvision together",
    )
