"""Where an origin or parent is, and how long we are patient with it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """One origin or parent. `server_name` is what its certificate must name (and SNI); None: `host`."""

    scheme: str
    host: str  # a name or an IP address, IPv6 without brackets
    port: int
    server_name: str | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """The address of `http://host[:port]` or `https://...`. Raises ValueError that says what is wrong.

        A path, query, fragment or user is refused rather than dropped: whoever wrote `http://app/v1` means
        a prefix that we would silently not add.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError(f"{url!r}: the scheme must be http or https")
        if not parts.hostname:
            raise ValueError(f"{url!r}: there is no host")
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"{url!r}: a user does not belong into an origin's address")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"{url!r}: only scheme, host and port make an origin's address")
        try:
            port = parts.port
        except ValueError:
            raise ValueError(f"{url!r}: the port must be a number from 1 to 65535") from None
        if port == 0:
            raise ValueError(f"{url!r}: the port must be a number from 1 to 65535")
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])

    @property
    def authority(self) -> str:
        """Host, with the port only where it is not the scheme's own: the canonical form of RequestHead."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Patience with one origin, in seconds; each is one of the reasons of policy when it runs out."""

    connect: float = 2.0  # name, TCP and TLS together
    first_byte: float = 15.0  # from the request's last octet to the answer's first, and after each 1xx
    idle: float = 30.0  # between two reads of an answer, for the whole of its head, or without room for our upload
    pool_wait: float = 5.0  # for a free connection
    # How long a connection is kept without work. Node.js closes after 5 s, gunicorn after 2, nginx after 75:
    # who closes first avoids the race of RFC 9112 9.3.1, so we stay below the most common short one. An
    # origin's `Keep-Alive: timeout=` shortens it further.
    keep_alive: float = 4.0
