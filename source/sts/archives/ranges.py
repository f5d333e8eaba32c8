"""A file on a server, read where it is: only the blocks that are asked for travel."""

import io
from collections import OrderedDict
from typing import Final

from sts.archives.addresses import origin_of, show_address
from sts.archives.client import Answer, Client, Secret
from sts.archives.patience import FetchError, Interrupted

# The directory of an HDF5 file is scattered among its data in pieces of a few kB.
RANGE_BYTES: Final = 2**14
# 16 MiB are kept: the directory is read again and again.
KEPT_BLOCKS: Final = 1024
# One request brings at most 8 MiB; who has read on for a while gets twice as much each time.
MOST_BLOCKS: Final = 512
PATIENT: Final = 4


class RangeFile(io.RawIOBase):
    """A remote file, read-only and seekable; its server must know ranges.

    fsspec reads files over HTTP too, and is not used here: it follows redirects wherever they
    lead, takes another answer for the range that it asked for, and reads on when the file has
    changed. Its cache of blocks alone, on our requests, brings the same bytes in more of them: it
    asks for every block by itself (83 requests where this needs 54, for 3 sweeps of 43).
    """

    def __init__(self, client: Client, address: str, *, secret: Secret | None = None) -> None:
        super().__init__()
        self._client, self._asked, self._secret = client, address, secret
        # A redirect is followed once: where it led is asked directly from then on.
        self._address = address
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position, self._after_last, self._in_row = 0, 0, 0
        self._size: int | None = None
        self._tag = ""
        self.brought_bytes = 0
        self.requests = 0
        self._bring(0, 1)

    @property
    def size(self) -> int:
        """Return how large the file is."""
        return self._size or 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that any part of it can be read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} lies before the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Fill a buffer from the position on and return how many bytes that were."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._position))
        done = 0
        while done < count:
            number, within = divmod(self._position + done, RANGE_BYTES)
            last = (self._position + count - 1) // RANGE_BYTES
            piece = self._block(number, last)[within : within + count - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._position += done
        return done

    def _block(self, number: int, last: int) -> bytes:
        """Return a block; what is missing up to block `last` is brought along with it."""
        if number not in self._blocks:
            end = number + 1
            while end <= last and end not in self._blocks:
                end += 1
            self._in_row = self._in_row + 1 if number == self._after_last else 0
            ahead = 2 ** min(max(self._in_row - PATIENT, 0), 20)
            end = min(max(end, number + ahead), number + MOST_BLOCKS, self._block_count())
            self._bring(number, end)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _block_count(self) -> int:
        return -(-self.size // RANGE_BYTES)

    def _bring(self, first: int, end: int) -> None:
        content = self._client.waits.retry(
            lambda: self._attempt(first * RANGE_BYTES, end * RANGE_BYTES), show_address(self._asked)
        )
        for number in range(first, end):
            start = (number - first) * RANGE_BYTES
            self._blocks[number] = content[start : start + RANGE_BYTES]
            self._blocks.move_to_end(number)
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        self._after_last = end

    def _attempt(self, start: int, end: int) -> bytes:
        headers = {"Range": f"bytes={start}-{min(end, self._size or end) - 1}"}
        self.requests += 1
        at_home = origin_of(self._address) == origin_of(self._asked)
        secret = self._secret if at_home else None
        with self._client.ask(self._address, headers=headers, secret=secret) as answer:
            if answer.status not in (200, 206) and self._address != self._asked:
                # The address a redirect gave is good for a while only.
                self._address = self._asked
                raise Interrupted(f"the server answers {answer.status}")
            self._check(answer, start)
            content = answer.content()
        wanted = min(end, self.size) - start
        if len(content) != wanted:
            raise Interrupted(f"{len(content)} bytes came, {wanted} were asked for")
        self.brought_bytes += len(content)
        self._address = answer.address
        return content

    def _check(self, answer: Answer, start: int) -> None:
        where = show_address(self._asked)
        if answer.status == 200:
            raise FetchError(
                f"{where} ignores ranges and would send the whole file: leave out --stream"
            )
        answer.expect(206)
        extent = answer.extent()
        if extent is None or extent[0] != start:
            raise FetchError(f"{where} answers another range than was asked for")
        size, tag = extent[2], answer.header("ETag")
        if self._size is None:
            self._size, self._tag = size, tag
        elif (size, tag) != (self._size, self._tag):
            raise FetchError(f"{where} changed while it was read: run it again")
