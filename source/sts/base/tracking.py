"""The numbers of a run over time: written to metrics.jsonl, and copied to W&B on request."""

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
TRACKING_MODES = ("off", "offline", "online")
# Longest wait for W&B at the end of a run, where there is no network.
FINISH_S = 60.0
log = logging.getLogger(__name__)


class Tracker:
    """Write numbers to a file at once, and to W&B as long as that works."""

    def __init__(self, path: Path, wandb_run: Any) -> None:
        self._path, self._wandb_run = path, wandb_run
        self._step = _find_next_step(path)

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Append one line; without a step, count on from the last one."""
        step = self._step if step is None else step
        self._step = step + 1
        numbers = {key: float(value) for key, value in values.items()}
        finite = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        line = {"step": step, "time": round(time.time(), 3), **finite}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._try_wandb(lambda run: run.log(numbers, step=step))

    def finish(self, summary: Mapping[str, float] | None = None) -> None:
        """Close the run of W&B with a summary of its numbers."""
        self._try_wandb(lambda run: run.summary.update(dict(summary or {})))
        self._try_wandb(lambda run: run.finish())
        self._wandb_run = None
        # W&B links to its log by its full path, which is wrong once the run folder is renamed.
        for path in (self._path.parent / "wandb").rglob("*.log"):
            if path.is_symlink():
                path.unlink()

    def _try_wandb(self, act: Callable[[Any], object]) -> None:
        if self._wandb_run is None:
            return
        try:
            act(self._wandb_run)
        except Exception as error:
            self._wandb_run = None
            _warn(error)


def _find_next_step(path: Path) -> int:
    """Return the step after the last line, and cut off a broken line of a killed process."""
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

    "off" does not import W&B; "offline" keeps its files in `folder` and needs neither key nor
    network; only "online" uses the network. If W&B fails, there is a warning and the run goes on.
    """
    one_of(mode, TRACKING_MODES, "tracking mode")
    make_folder(folder)
    wandb_run = None if mode == "off" else _start_wandb(mode, folder, project, name, settings)
    return Tracker(folder / "metrics.jsonl", wandb_run)


def _start_wandb(mode: Mode, folder: Path, project: str, name: str, settings: object) -> Any:
    """Return a W&B run, or None if that is not possible."""
    try:
        with _keep_wandb_in(folder):
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
                    # These inspect the machine and ask the network for its provider.
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
def _keep_wandb_in(folder: Path) -> Iterator[None]:
    """Let W&B write to `folder` only: home may be read-only, and belongs to the user."""
    variables = {f"WANDB_{kind}_DIR": str(folder) for kind in ("CACHE", "DATA", "ARTIFACT")}
    # Even offline it would ask the network where to send reports of its own crashes.
    variables["WANDB_ERROR_REPORTING"] = "false"
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _warn(error: Exception) -> None:
    text = (str(error).splitlines() or [""])[0]
    log.warning("W&B stopped (%s: %s); metrics.jsonl has it all", type(error).__name__, text)
