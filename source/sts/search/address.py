"""Where a study is stored, read from what the user wrote; passwords stay out of sight."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

from sts.base.errors import StsError, one_of

WANTED: Final = "a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
# A letter alone is a drive of Windows.
SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
# Half an address would become the name of a file, with the password in it.
NO_PATH: Final = re.compile(r"^:?//|password\s*=")
POSTGRES: Final = ("postgresql", "postgres")
PASSED_ON: Final = ("host", "port", "sslcert", "sslkey", "sslmode", "sslrootcert")


@dataclass(frozen=True, kw_only=True)
class PostgresAddress:
    """A PostgreSQL database; the password is neither in its repr nor in what it shows."""

    shown: str
    user: str
    host: str
    port: int | None
    database: str
    password: str = field(repr=False)
    options: tuple[tuple[str, str], ...] = field(repr=False)

    def parameters(self) -> dict[str, Any]:
        """Return the keywords of a connection; what is not given is libpq's to find."""
        given = {
            "user": self.user,
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "password": self.password,
            **dict(self.options),
        }
        return {name: value for name, value in given.items() if value}

    def without_password(self, text: str) -> str:
        """Return `text` with the password replaced, however it may be written."""
        for written in (self.password, quote(self.password, safe=""), quote_plus(self.password)):
            text = text.replace(written, "***") if written else text
        return text


def read_address(storage: str | Path | None) -> Path | PostgresAddress | None:
    """Return what `storage` names: an SQLite file, a PostgreSQL database, or None for memory."""
    if storage is None or isinstance(storage, Path):
        return storage
    if not (scheme := SCHEME.match(storage)):
        if not storage or NO_PATH.search(storage):
            raise StsError(f"cannot read the search storage, which is not shown: give {WANTED}")
        return Path(storage)
    name = scheme[1].lower()
    if name in ("sqlite", *POSTGRES) and not storage[scheme.end() :].startswith("//"):
        raise StsError(f"cannot read the search storage, which is not shown: give {WANTED}")
    if name == "sqlite":
        return _sqlite_path(storage)
    if name not in POSTGRES:
        raise StsError(f"unknown search storage {name!r}: give {WANTED}")
    return _postgres(storage)


def _sqlite_path(storage: str) -> Path:
    path = storage[len("sqlite:///") :]
    if not storage.lower().startswith("sqlite:///") or not path:
        raise StsError("cannot read the search storage: three slashes and a path follow sqlite:")
    return Path(path)


def _postgres(storage: str) -> PostgresAddress:
    try:
        parts = urlsplit(storage)
        address = _address_of(parts)
    except ValueError:
        # The reason would quote the text, and a password with it.
        address = None
    if address is None:
        raise StsError(
            "cannot read the PostgreSQL address, which is not shown since it may hold a password: "
            "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, %2F for / and "
            "%3A for : inside a part"
        )
    return address


def _address_of(parts: SplitResult) -> PostgresAddress | None:
    """Return the address, None where a part of the password may have ended up elsewhere."""
    rest = parts.path + parts.query + parts.fragment
    if not parts.netloc + parts.path.strip("/") or parts.netloc.count("@") > 1 or "@" in rest:
        return None
    options = tuple(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    for name, _ in options:
        one_of(name, PASSED_ON, "option of a PostgreSQL address")
    user, host = unquote(parts.username or ""), unquote(parts.hostname or "")
    place = f"{f'[{host}]' if ':' in host else host}{f':{parts.port}' if parts.port else ''}"
    database = unquote(parts.path.strip("/"))
    return PostgresAddress(
        shown=f"postgresql://{f'{user}@' if user else ''}{place}/{database}",
        user=user,
        host=host,
        port=parts.port,
        database=database,
        password=unquote(parts.password or ""),
        options=options,
    )
