"""Connections that stay open between requests: a handshake costs more than a block of a file."""

import base64
import http.client
import ssl
import threading
from collections.abc import Mapping
from functools import cache
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from sts.archives.addresses import PORTS, is_loopback, origin_of, shown
from sts.archives.patience import FetchError, NoWay, Transient

Exchange = tuple[http.client.HTTPConnection, http.client.HTTPResponse]


class Connections:
    """Connections by whom they lead to; a thread takes one, and gives it back when it is free."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._free: dict[tuple[str, str, int], list[http.client.HTTPConnection]] = {}
        self._one_at_a_time = threading.Lock()

    def ask(self, address: str, headers: Mapping[str, str]) -> Exchange:
        """Send one GET and return the connection with the beginning of the answer."""
        with self._one_at_a_time:
            free = self._free.get(origin_of(address))
            kept = free.pop() if free else None
        if kept is not None:
            try:
                return kept, _send(kept, address, headers)
            except Transient:
                # Servers close what they have not been asked over for a while.
                kept.close()
        fresh = self._new(address)
        try:
            return fresh, _send(fresh, address, headers)
        except BaseException:
            fresh.close()
            raise

    def give_back(self, exchange: Exchange, address: str) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        connection, response = exchange
        if response.length == 0:
            # Only this tells the connection that it may serve the next request.
            response.read()
        if response.isclosed() and not response.will_close and connection.sock is not None:
            with self._one_at_a_time:
                self._free.setdefault(origin_of(address), []).append(connection)
        else:
            response.close()
            connection.close()

    def close(self) -> None:
        """Close all that is free."""
        with self._one_at_a_time:
            for connection in (each for free in self._free.values() for each in free):
                connection.close()
            self._free.clear()

    def _new(self, address: str) -> http.client.HTTPConnection:
        scheme, host, port = origin_of(address)
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        proxy = "" if is_loopback(host) or proxy_bypass(host) else getproxies().get("https", "")
        if not proxy:
            return http.client.HTTPSConnection(
                host, port, timeout=self._timeout_s, context=_trust()
            )
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme != "http" or not parts.hostname:
            raise FetchError(f"https_proxy is {shown(proxy)}: http://HOST:PORT is wanted")
        tunnel = http.client.HTTPSConnection(
            parts.hostname,
            parts.port or PORTS["http"],
            timeout=self._timeout_s,
            context=_trust(),
        )
        tunnel.set_tunnel(host, port, headers=_proxy_credentials(parts.username, parts.password))
        return tunnel


@cache
def _trust() -> ssl.SSLContext:
    """Return what the system trusts, or SSL_CERT_FILE; reading it takes a while."""
    return ssl.create_default_context()


def _proxy_credentials(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    both = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(both).decode()}"}


def _send(
    connection: http.client.HTTPConnection, address: str, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    try:
        if connection.sock is None:
            connection.connect()
    except ssl.SSLCertVerificationError as error:
        raise FetchError(
            f"{shown(address)}: its certificate is not trusted ({error.verify_message}); "
            "if a proxy of your institute stands in between, set SSL_CERT_FILE"
        ) from error
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        raise NoWay(_said(error)) from error
    parts = urlsplit(address)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", target, headers=dict(headers))
        return connection.getresponse()
    except TimeoutError as error:
        raise Transient(f"it did not answer within {connection.timeout:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise Transient(f"the connection was cut ({_said(error)})") from error


def _said(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).lower()[:160]
