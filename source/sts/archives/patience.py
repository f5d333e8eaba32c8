"""How long a server is waited for, and how often it is asked again."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from sts.base.errors import StsError

T = TypeVar("T")

logger = logging.getLogger("sts")

# An attempt that came this much further was worth it: its failure counts as the first.
WORTH_BYTES: Final = 2**24


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Bounds of waiting."""

    timeout_s: float = 30.0
    """For a connection, for each next byte, and between two looks at the speed."""
    retries: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    slowest_bytes_per_s: float = 1000.0

    def __post_init__(self) -> None:
        """Refuse what would wait for ever or not at all."""
        if not self.timeout_s > 0 or self.retries < 0:
            raise StsError(
                f"wanted a --timeout above 0 and --retries of at least 0, not {self.timeout_s:g} "
                f"and {self.retries}"
            )


# Attempts without a connection that are enough where there never was one.
NO_NETWORK: Final = 2


class Transient(Exception):  # noqa: N818 - a verdict on an attempt, not an error of a program
    """Say what went wrong this time and may go well the next time."""

    def __init__(self, reason: str, *, wait_s: float = 0.0, retries: int | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        """What the server asked for."""
        self.retries = retries
        """How often at most, 1 or more, this is worth another attempt; None as often as others."""


class FetchError(StsError):
    """Say which address did not give what, and what to do."""


class UnreachableError(FetchError):
    """Say that there is no way to a server from here."""


class NoWay(Transient):
    """Say why there was no connection."""


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """Leave a transfer in the middle; what came is kept."""


class Waits:
    """Waits that grow, differ from each other, and end at once when everything is to stop."""

    def __init__(
        self, patience: Patience, *, rng: np.random.Generator, stop: threading.Event
    ) -> None:
        self._patience, self._rng, self._stop = patience, rng, stop
        self._one_at_a_time = threading.Lock()
        self._has_worked = False

    def check(self) -> None:
        """Raise if everything is to stop."""
        if self._stop.is_set():
            raise Stopped

    def patiently(
        self, attempt: Callable[[], T], what: str, *, reached: Callable[[], int] = lambda: 0
    ) -> T:
        """Return what `attempt` returns, asked again as often as it is worth it.

        Parameters
        ----------
        what
            The address, for people.
        reached
            How many bytes are kept of what the attempts brought.
        """
        failures, rare, far = 0, 0, reached()
        while True:
            self.check()
            try:
                result = attempt()
            except Transient as reason:
                failures = 1 if reached() - far >= WORTH_BYTES else failures + 1
                rare += reason.retries is not None
                far = max(far, reached())
                if failures > self._most(reason) or rare > (reason.retries or rare):
                    raise _given_up(reason, what, failures) from reason
                wait_s = self._wait_s(failures, reason.wait_s)
                logger.debug("%s: %s; again in %.1f s", what, reason, wait_s)
                self._stop.wait(wait_s)
            else:
                self._has_worked = True
                return result

    def _most(self, reason: Transient) -> int:
        # Where nothing has worked yet there is no network, and waiting does not make one.
        hopeless = isinstance(reason, NoWay) and not self._has_worked
        return min(self._patience.retries, NO_NETWORK if hopeless else self._patience.retries)

    def _wait_s(self, failures: int, asked_s: float) -> float:
        patience = self._patience
        # Many clients that were cut off together must not come back together.
        with self._one_at_a_time:
            share = float(self._rng.uniform(0.5, 1.0))
        grown_s = patience.first_wait_s * 2.0 ** min(failures - 1, 30) * share
        return min(max(grown_s, asked_s), patience.longest_wait_s)


def _given_up(reason: Transient, what: str, attempts: int) -> FetchError:
    if isinstance(reason, NoWay):
        return UnreachableError(
            f"cannot reach {what}: {reason}; run it where there is internet (on a cluster the "
            "login node), or set https_proxy"
        )
    times = "once" if attempts == 1 else f"{attempts} times"
    return FetchError(f"{what}: {reason} (tried {times}); the same command goes on later")
