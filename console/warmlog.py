"""What access logs were asked for most: the requests that a cache could answer, counted by URL.

Reads the logs of Seawall, nginx, Apache, Varnish, Caddy, Traefik and Envoy: the common and the combined format, with a
virtual host before it or anything behind it, and JSON with the usual names. A line that says something else is
counted and skipped; none can raise.
"""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from seawall.engine.popularity import Popularity
from seawall.http.target import canonical_authority
from seawall.purge.selection import canonical_url

# Of one line. The longest URL has 8 KiB, a Referer as much again.
MAX_LINE_BYTES = 64 * 1024
# Distinct URLs that are counted exactly; beyond it the rare ones give way (engine.popularity).
CAPACITY = 100_000

# ... [time] "GET /path HTTP/1.1" 200
_COMMON = re.compile(r'\] "([A-Z]+) ([^ "]+)(?: HTTP/[0-9.]+)?" ([0-9]{3})(?![0-9])')
_REQUEST_LINE = re.compile(r"([A-Z]+) ([^ ]+)(?: HTTP/[0-9.]+)?")
# What our own warming asked for says nothing about clients; to count it would keep it popular for ever.
_OURS = b'"seawall-warm"'

_METHODS = ("method", "request_method", "http_method", "RequestMethod")
_STATUSES = ("status", "status_code", "response_code", "DownstreamStatus")
_TARGETS = ("url", "request_uri", "uri", "path", "RequestPath")
_HOSTS = ("host", "http_host", "server_name", "authority", "RequestHost")
_SCHEMES = ("scheme", "RequestScheme", "x_forwarded_proto")


@dataclass(frozen=True, slots=True)
class Logged:
    """One request as a line tells it. `target` may be a whole URL; what is "" the line does not say."""

    method: str
    status: int
    target: str
    host: str = ""
    scheme: str = ""
    uncacheable: bool = False  # the log says that it was passed, or had no answer


@dataclass(slots=True)
class Counted:
    """What was read. `without_host` are lines that would have counted if they had said a host."""

    popularity: Popularity
    lines: int = 0
    understood: int = 0
    without_host: int = 0


class NotALog(Exception):
    """The file cannot be read; the text says why."""


def count(file: str, *, host: str = "", scheme: str = "http", capacity: int = CAPACITY) -> Counted:
    """Counts the URLs of a file (`-` is standard input; gzip is unpacked). `host` and `scheme` are for lines that say
    none. Raises NotALog."""
    counted = Counted(Popularity(capacity, half_life=None))
    for line in _lines(file):
        counted.lines += 1
        logged = None if _OURS in line else read(line)
        if logged is None:
            continue
        counted.understood += 1
        if not is_wanted(logged):
            continue
        if not (logged.host or host) and "://" not in logged.target:
            counted.without_host += 1
        elif (url := url_of(logged, host, scheme)) is not None:
            counted.popularity.note(url)
    return counted


def read(line: bytes) -> Logged | None:
    """What one line says; None where it is in no known format."""
    return _json(line) if line.lstrip()[:1] == b"{" else _common(line.decode("latin-1"))


def is_wanted(logged: Logged) -> bool:
    """Could a cache have answered it?"""
    return logged.method == "GET" and 200 <= logged.status < 400 and not logged.uncacheable


def url_of(logged: Logged, host: str, scheme: str) -> str | None:
    """The canonical URL; None where no client could request it."""
    target = logged.target
    if "\\" in target:  # how logs write what they would not write as it came: "\x22"
        return None
    if "://" not in target.partition("?")[0]:
        if not target.startswith("/"):
            return None
        target = f"{logged.scheme or scheme}://{logged.host or host}{target}"
    try:
        return canonical_url(target)
    except ValueError:
        return None


def _common(line: str) -> Logged | None:
    found = _COMMON.search(line)
    if found is None:
        return None
    host, scheme = _virtual_host(line[: found.start()])
    return Logged(found[1], int(found[3]), found[2], host, scheme)


def _virtual_host(before: str) -> tuple[str, str]:
    """Host and scheme of Apache's vhost_combined, `shop.example:443 192.0.2.1 - - [...`; a host without one is taken
    by the same place."""
    words = before.partition("[")[0].split()
    if len(words) != 4 or words[1] == "-":  # that would be a user's name with a space in it
        return "", ""
    host, colon, port = words[0].rpartition(":")
    if not colon:
        return (words[0], "") if canonical_authority(words[0], "http") else ("", "")
    scheme = {"443": "https", "80": "http"}.get(port, "")
    return (host if scheme else words[0], scheme) if canonical_authority(words[0], "http") else ("", "")


def _json(line: bytes) -> Logged | None:
    try:
        said = msgspec.json.decode(line, type=dict[str, object])
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, bad UTF-8 too
        return None
    inner = said.get("request")
    if isinstance(inner, dict):  # Caddy
        said = {**inner, **{name: value for name, value in said.items() if name in _STATUSES}}
    method, target = _text(said, _METHODS), _text(said, _TARGETS)
    if isinstance(inner, str) and (found := _REQUEST_LINE.fullmatch(inner)) is not None:  # nginx's $request
        method, target = method or found[1], target or found[2]
    status = next((said[name] for name in _STATUSES if name in said), None)
    if isinstance(status, str) and re.fullmatch("[0-9]{3}", status):
        status = int(status)
    if not method or not target or not isinstance(status, int):
        return None
    passed = said.get("outcome") in ("PASS", "ERROR")
    return Logged(method, status, target, _text(said, _HOSTS), _text(said, _SCHEMES), passed)


def _text(said: Mapping[str, object], names: tuple[str, ...]) -> str:
    """The first of these members that is text."""
    return next((value for name in names if isinstance(value := said.get(name), str) and value not in ("", "-")), "")


def _lines(file: str) -> Iterator[bytes]:
    try:
        with _opened(file) as opened:
            whole = True
            while line := opened.readline(MAX_LINE_BYTES):
                # The rest of a line that is longer than any request is not a line of its own.
                if whole:
                    yield line
                whole = line.endswith(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise NotALog(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


class _ReadsLines(Protocol):
    def readline(self, size: int = -1, /) -> bytes: ...


@contextmanager
def _opened(file: str) -> Iterator[_ReadsLines]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with open(file, "rb") as plain:
        if plain.peek(2)[:2] != b"\x1f\x8b":
            yield plain
            return
        with gzip.open(plain) as unpacked:
            yield unpacked
