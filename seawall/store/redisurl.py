"""Which Redis a URL means: one server, a master that Sentinels name, or a cluster.

    redis://[user[:password]@]host[:port][/db]                      rediss:// the same over TLS
    redis+sentinel://[user[:password]@]host[:port],.../service[/db]  rediss+sentinel://
    redis+cluster://[user[:password]@]host[:port],...                rediss+cluster://

Over TLS, `?ssl_ca_certs=FILE` says whom to believe, `ssl_certfile` and `ssl_keyfile` who we are (redis-py's words).
User and password are those of the servers that hold data; Sentinels are asked with the same. Knows no socket. What
it says is wrong never quotes the URL: there is a password in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, unquote

_URL = re.compile(r"(rediss?)(?:\+(sentinel|cluster))?://(?:([^@/?#]*)@)?([^@/?#]+)((?:/[^/?#]+)*)/?(?:\?([^#]*))?")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

REDIS_PORT = 6379
SENTINEL_PORT = 26379


class Kind(StrEnum):
    """How the server for a key is found."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL says. `addresses` are the server's, the Sentinels', or some of the cluster's."""

    kind: Kind
    addresses: tuple[Address, ...]
    db: int = 0
    service: str = ""
    tls: bool = False
    tls_files: tuple[tuple[str, str], ...] = ()
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


def parse_redis_url(url: str) -> Place:
    """The place that it means. Raises ValueError with what is wrong."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("no Redis URL: redis://host:port/db, redis+sentinel://hosts/service/db, redis+cluster://hosts")
    scheme, kind_word, credentials, hosts, path, query = match.groups()
    kind = Kind(kind_word) if kind_word else Kind.SERVER
    tls = scheme == "rediss"
    addresses = _addresses(hosts, SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT)
    if kind is Kind.SERVER and len(addresses) > 1:
        raise ValueError("several hosts: say redis+sentinel:// or redis+cluster://")
    service, db = _path(kind, [unquote(step) for step in path.split("/")[1:]])
    user, password = _credentials(credentials)
    return Place(kind, addresses, db, service, tls, _tls_files(query or "", tls), user, password)


def _addresses(hosts: str, default_port: int) -> tuple[Address, ...]:
    found: list[Address] = []
    for one in hosts.split(","):
        match = _HOST.fullmatch(one)
        if match is None:
            raise ValueError("a host is a name, an IPv4 address, or an IPv6 address in brackets, and may have a port")
        port = int(match[2]) if match[2] else default_port
        if not 0 < port < 65536:
            raise ValueError("a port is 1 to 65535")
        found.append(Address(match[1].strip("[]"), port))
    return tuple(found)


def _path(kind: Kind, steps: list[str]) -> tuple[str, int]:
    service = ""
    if kind is Kind.SENTINEL:
        if not steps:
            raise ValueError("Sentinel has to be asked for a service: redis+sentinel://hosts/service")
        service = steps.pop(0)
    if kind is Kind.CLUSTER and steps and steps != ["0"]:
        raise ValueError("a cluster has database 0 only")
    if len(steps) > 1 or (steps and not re.fullmatch(r"[0-9]{1,5}", steps[0])):
        raise ValueError("the database is one number")
    return service, int(steps[0]) if steps else 0


def _credentials(text: str | None) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    user, colon, password = text.partition(":")
    if not colon:
        raise ValueError("user:password@, or :password@ for the default user")
    return unquote(user) or None, unquote(password) or None


def _tls_files(query: str, tls: bool) -> tuple[tuple[str, str], ...]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ValueError("the query is not name=value&...") from None
    for name, _ in pairs:
        if name not in _TLS_FILES:
            raise ValueError(f"only {', '.join(_TLS_FILES)} may stand behind the question mark")
        if not tls:
            raise ValueError("files for TLS belong to rediss://")
    return tuple(pairs)
