"""Numbers of a run over time: metrics.jsonl is the record, W&B a mirror of it when asked for."""

import contextlib
import importlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from sts.base.errors import one_of
from sts.base.files import make_folder
from sts.base.settings import to_dict

Mode = Literal["off", "offline", "online"]
MODES = ("off", "offline", "online")
# At the end of a run without network a mirror may wait no longer than this.
FINISH_S = 60.0
log = logging.getLogger(__name__)


class Tracker:
    """Write numbers to a file at once, and to W&B as long as that works."""

    def __init__(self, path: Path, mirror: Any) -> None:
        self._path, self._mirror = path, mirror
        self._step = _mend(path)

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Append one line; steps are counted where none is given."""
        step = self._step if step is None else step
        self._step = step + 1
        numbers = {key: float(value) for key, value in values.items()}
        finite = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        line = {"step": step, "time": round(time.time(), 3), **finite}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._mirrored(lambda run: run.log(numbers, step=step))

    def finish(self, summary: Mapping[str, float] | None = None) -> None:
        """End the mirror with the figures that stand for the run."""
        self._mirrored(lambda run: run.summary.update(dict(summary or {})))
        self._mirrored(lambda run: run.finish())
        self._mirror = None
        # W&B links to its log by the full path, which ends nowhere once a run folder is renamed.
        for path in (self._path.parent / "wandb").rglob("*.log"):
            if path.is_symlink():
                path.unlink()

    def _mirrored(self, act: Callable[[Any], object]) -> None:
        if self._mirror is None:
            return
        try:
            act(self._mirror)
        except Exception as error:
            self._mirror = None
            _warn(error)


def _mend(path: Path) -> int:
    """Cut off the torn last line a kill may have left, and return the step that comes next."""
    if not path.exists():
        return 0
    whole = path.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if len(kept) < len(whole):
        os.truncate(path, len(kept))
    lines = kept.splitlines()
    return int(json.loads(lines[-1])["step"]) + 1 if lines else 0


def track(mode: Mode, *, folder: Path, project: str, name: str, settings: object) -> Tracker:
    """Return a tracker that writes `folder`/metrics.jsonl.

    "off" imports no W&B; "offline" keeps its files in `folder` and needs neither key nor network;
    "online" is the only one that may use the network. A failure of W&B is one warning, no more.
    """
    one_of(mode, MODES, "tracking mode")
    make_folder(folder)
    mirror = None if mode == "off" else _start(mode, folder, project, name, settings)
    return Tracker(folder / "metrics.jsonl", mirror)


def _start(mode: Mode, folder: Path, project: str, name: str, settings: object) -> Any:
    """Return a W&B run, or None where that is not possible."""
    try:
        with _surroundings(folder):
            wandb: Any = importlib.import_module("wandb")
            return wandb.init(
                mode=mode,
                project=project,
                name=name,
                dir=str(folder),
                config=to_dict(settings),
                reinit="create_new",
                settings=wandb.Settings(
                    console="off",
                    silent=True,
                    symlink=False,
                    disable_git=True,
                    save_code=False,
                    finish_timeout=FINISH_S,
                    # These look at the machine and ask the network who its provider is.
                    x_disable_meta=True,
                    x_disable_stats=True,
                    x_disable_machine_info=True,
                    x_save_requirements=False,
                ),
            )
    except Exception as error:
        _warn(error)
        return None


@contextlib.contextmanager
def _surroundings(folder: Path) -> Iterator[None]:
    """Let W&B write to `folder` only: home is read-only on many nodes, and never ours."""
    given = {f"WANDB_{kind}_DIR": str(folder) for kind in ("CACHE", "DATA", "ARTIFACT")}
    # It would ask the network where to send reports of its own crashes, even offline.
    given["WANDB_ERROR_REPORTING"] = "false"
    before = {key: os.environ.get(key) for key in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _warn(error: Exception) -> None:
    said = (str(error).splitlines() or [""])[0]
    log.warning("W&B stopped (%s: %s); metrics.jsonl has it all", type(error).__name__, said)
