"""One worker as a process of its own, which may be ordered to die at a given place.

Orders: `trials`, `folds`, `prune`; `die_in_call` (the nth call of the score), `die_after_trial`
(the nth trial it finished), `die_on` ([settings, fold]); `sleep_s` in each fold; `meet` (the first
fold waits until so many workers are at theirs); `pulse_s` (seconds between beats of the heart).
"""

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from sts.base.logs import set_up
from sts.search import storage
from sts.search.trials import FoldScore, TrialRecord
from tests.search.worlds import calls, find, quality

STORAGE = os.environ["STORAGE"]
LOG = Path(os.environ["LOG"])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Worker:
    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self.calls = self.trials = 0

    def score(self, settings: dict[str, Any], fold: int) -> FoldScore:
        self.calls += 1
        with LOG.open("a") as log:
            log.write(json.dumps({"pid": os.getpid(), "settings": settings, "fold": fold}) + "\n")
        if self.calls == 1:
            self.meet()
        time.sleep(self.orders.get("sleep_s", 0.0))
        doomed = [settings, fold] == self.orders.get("die_on")
        if doomed or self.calls == self.orders.get("die_in_call"):
            die()
        return quality(settings, fold)

    def meet(self) -> None:
        deadline = time.monotonic() + 40
        while len({call["pid"] for call in calls(LOG)}) < self.orders.get("meet", 1):
            if time.monotonic() > deadline:
                raise TimeoutError("the others did not come")
            time.sleep(0.01)

    def on_trial(self, record: TrialRecord) -> None:
        self.trials += 1
        if self.trials == self.orders.get("die_after_trial"):
            die()


def main() -> None:
    warnings.simplefilter("error")
    set_up(0)
    worker = Worker(json.loads(sys.argv[1]))
    if pulse_s := worker.orders.get("pulse_s"):
        storage.HEARTBEAT_S, storage.HEARTBEAT_GRACE_S = pulse_s, 3 * pulse_s
    result = find(
        STORAGE,
        worker.score,
        on_trial=worker.on_trial,
        trials=worker.orders["trials"],
        folds=worker.orders.get("folds", 3),
        prune=worker.orders.get("prune", True),
    )
    sys.stdout.write(f"found {result.value!r} {json.dumps(result.best)}\n")


if __name__ == "__main__":
    main()
