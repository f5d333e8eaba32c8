"""One process at a time: an advisory lock on an open file.

`filelock` locks a path, in a file of its own. Here a file that is being written is locked itself,
and the lock ends with it.
"""

import errno
import logging
from typing import IO, Any

logger = logging.getLogger("sts")


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed; return whether nobody else holds it."""
    try:
        _lock(file)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        # Some network file systems know no locks; working without one beats not working.
        logger.warning("no lock on %s: %s", file.name, error.strerror)
    return True


def _lock(file: IO[Any]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
