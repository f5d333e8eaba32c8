"""The address of a search storage, parsed from the user's text; passwords are never shown."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

from sts.base.errors import StsError, one_of

WANTED: Final = (
    "a path, sqlite:///PATH, postgresql://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE"
)
# Two letters or more, since a single letter is a drive of Windows.
SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
# Incomplete addresses: as a path, the password would become part of a file name.
NO_PATH: Final = re.compile(r"^:?//|password\s*=")


@dataclass(frozen=True, kw_only=True)
class ServerKind:
    """A kind of database server, and the driver for it."""

    name: str
    dialect: str
    """The name in SQLAlchemy, with the driver after the plus sign."""
    extra: str
    """The optional dependency of this package that installs the driver."""
    database: str
    """The driver's keyword for the name of the database."""
    options: tuple[str, ...]
    """The options that an address can have after a question mark."""


POSTGRESQL: Final = ServerKind(
    name="PostgreSQL",
    dialect="postgresql+psycopg",
    extra="postgres",
    database="dbname",
    options=("host", "port", "sslcert", "sslkey", "sslmode", "sslrootcert"),
)
MYSQL: Final = ServerKind(
    name="MySQL",
    dialect="mysql+pymysql",
    extra="mysql",
    database="database",
    options=("ssl_ca", "ssl_cert", "ssl_key", "unix_socket"),
)
SERVERS: Final = {
    "postgresql": POSTGRESQL,
    "postgres": POSTGRESQL,
    POSTGRESQL.dialect: POSTGRESQL,
    "mysql": MYSQL,
    MYSQL.dialect: MYSQL,
}


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """A database on a server; neither `shown` nor the repr contains the password."""

    kind: ServerKind
    shown: str
    user: str
    host: str
    port: int | None
    database: str
    password: str = field(repr=False)
    options: tuple[tuple[str, str], ...] = field(repr=False)

    def parameters(self) -> dict[str, Any]:
        """Return the keywords of a connection; the driver has defaults for the others."""
        keywords = {
            "user": self.user,
            "host": self.host,
            "port": self.port,
            self.kind.database: self.database,
            "password": self.password,
            **dict(self.options),
        }
        return {name: value for name, value in keywords.items() if value}

    def without_password(self, text: str) -> str:
        """Return `text` without the password, also without its quoted form."""
        for written in (self.password, quote(self.password, safe=""), quote_plus(self.password)):
            text = text.replace(written, "***") if written else text
        return text


def read_address(storage: str | Path | None) -> Path | ServerAddress | None:
    """Return the storage of a text: an SQLite file, a server, or None for memory."""
    if storage is None or isinstance(storage, Path):
        return storage
    if not (scheme := SCHEME.match(storage)):
        if not storage or NO_PATH.search(storage):
            raise StsError(f"cannot read the search storage, which is not shown: give {WANTED}")
        return Path(storage)
    name = scheme[1].lower()
    if name in ("sqlite", *SERVERS) and not storage[scheme.end() :].startswith("//"):
        raise StsError(f"cannot read the search storage, which is not shown: give {WANTED}")
    if name == "sqlite":
        return _sqlite_path(storage)
    if name not in SERVERS:
        raise StsError(f"unknown search storage {name!r}: give {WANTED}")
    return _read_server(storage, SERVERS[name])


def _sqlite_path(storage: str) -> Path:
    path = storage[len("sqlite:///") :]
    if not storage.lower().startswith("sqlite:///") or not path:
        raise StsError("cannot read the search storage: three slashes and a path follow sqlite:")
    return Path(path)


def _read_server(storage: str, kind: ServerKind) -> ServerAddress:
    try:
        address = _address_of(urlsplit(storage), kind)
    except ValueError:
        # The message of the error would contain the text, perhaps with a password.
        address = None
    if address is None:
        scheme = kind.dialect.partition("+")[0]
        raise StsError(
            f"cannot read the {kind.name} address, which is not shown since it may contain a "
            f"password: write {scheme}://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, %2F for "
            "/ and %3A for : inside a part"
        )
    return address


def _address_of(parts: SplitResult, kind: ServerKind) -> ServerAddress | None:
    """Return the address, None if a part of the password may be in another part of it."""
    rest = parts.path + parts.query + parts.fragment
    if not parts.netloc + parts.path.strip("/") or parts.netloc.count("@") > 1 or "@" in rest:
        return None
    options = tuple(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    for name, _ in options:
        one_of(name, kind.options, f"option of a {kind.name} address")
    user, host = unquote(parts.username or ""), unquote(parts.hostname or "")
    place = f"{f'[{host}]' if ':' in host else host}{f':{parts.port}' if parts.port else ''}"
    database = unquote(parts.path.strip("/"))
    scheme = kind.dialect.partition("+")[0]
    return ServerAddress(
        kind=kind,
        shown=f"{scheme}://{f'{user}@' if user else ''}{place}/{database}",
        user=user,
        host=host,
        port=parts.port,
        database=database,
        password=unquote(parts.password or ""),
        options=options,
    )
