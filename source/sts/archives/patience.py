"""How long a server is waited for, and how often it is asked again."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    MaxRetryError,
    ProtocolError,
)
from urllib3.util import Retry

from sts.base.errors import StsError

T = TypeVar("T")

logger = logging.getLogger("sts")

# An attempt that came this much further was worth it: its failure counts as the first.
WORTH_BYTES: Final = 2**24
# Attempts without a connection that are enough where there never was one.
NO_NETWORK: Final = 2


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


class FetchError(StsError):
    """Say what an address did not give, and what to do."""


class UnreachableError(FetchError):
    """Say that there is no way to a server from here."""


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """Leave a transfer in the middle; what came is kept."""


# urllib3 counts what goes wrong by its kind: before there was a connection, on it, or otherwise.
class Transient(HTTPError):  # noqa: N818 - a verdict on an attempt, not an error of a program
    """Say what went wrong this time and may go well the next time."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        """What the server asked for."""


class Interrupted(Transient, ProtocolError):  # noqa: N818 - as above
    """Say why not all of an answer came."""


class NoWay(Transient, ConnectTimeoutError):  # noqa: N818 - as above
    """Say why there was no connection."""


class WrongContent(Transient):
    """Say that something else came than was wanted, which is worth one more attempt only."""


def seconds_of(retry_after: str) -> float:
    """Return what Retry-After says, in seconds or as a date; 0 where it says nothing."""
    try:
        return float(Retry().parse_retry_after(retry_after))
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


class Waits:
    """Attempts, counted by urllib3's `Retry`, and the waits between them.

    Its own loop around a request would lose three things: it does not see what breaks after the
    head of an answer, or that an attempt came further than the one before; it sleeps on when
    everything is to stop; and its waits differ by the global random state.
    """

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

    def retry(
        self, attempt: Callable[[], T], what: str, *, reached: Callable[[], int] = lambda: 0
    ) -> T:
        """Return what `attempt` returns, made again as often as it is worth it.

        Parameters
        ----------
        what
            The address, for people.
        reached
            How many bytes are kept of what the attempts brought.
        """
        fresh = Retry(total=self._patience.retries, connect=NO_NETWORK, other=1)
        budget, far = fresh, reached()
        while True:
            self.check()
            try:
                result = attempt()
            except Transient as reason:
                if reached() - far >= WORTH_BYTES:
                    budget = fresh.new(other=budget.other)
                if self._has_worked:
                    # Where nothing has worked yet there is no network, and waiting makes none.
                    budget = budget.new(connect=None)
                far = max(far, reached())
                try:
                    budget = budget.increment("GET", what, error=reason)
                except MaxRetryError:
                    raise _given_up(reason, what, len(budget.history) + 1) from reason
                wait_s = self._wait_s(len(budget.history), reason.wait_s)
                logger.debug("%s: %s; again in %.1f s", what, reason, wait_s)
                self._stop.wait(wait_s)
            else:
                self._has_worked = True
                return result

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
