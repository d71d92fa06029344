"""Where a port listens and where an origin is: read strictly, shown as they were meant.

Knows no resolver: a host name is checked for form only.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z", re.ASCII)
DEFAULT_PORTS = {"http": 80, "https": 443}


class NotAnAddress(ValueError):
    """The text is no address; the message says what to write instead, or is empty."""


def host_form(text: str) -> str:
    """A host name or IP literal (no brackets) in lower case. Raises NotAnAddress."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not _HOST_NAME.match(text) or len(text) > 253:
        raise NotAnAddress("" if text.isascii() else "write the name in its ASCII form, xn--…")
    if re.fullmatch(r"[0-9.]+|0[xX][0-9A-Fa-f]+", text):
        # Resolvers read 127.1 and 0177.0.0.1 as addresses of their own choosing.
        raise NotAnAddress("an IPv4 address has four decimal parts")
    return text.lower()


def _port_form(text: str) -> int:
    if not _PORT.match(text) or int(text) > 65535:
        raise NotAnAddress("a port is a number from 0 to 65535")
    return int(text)


def bracketed(host: str) -> str:
    """The host as an authority writes it: IPv6 in brackets (RFC 3986 3.2.2)."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on. Port 0: the system picks one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def wildcard(self) -> bool:
        """Every interface of the machine."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 (asked about, not bound)

    def clashes(self, other: Address) -> bool:
        """Can one machine not listen on both? A wildcard takes the port of every address."""
        if self.port != other.port or self.port == 0:
            return False
        return self.host == other.host or self.wildcard or other.wildcard


def address(text: str) -> Address:
    """Reads `host:port`, with IPv6 in brackets. Raises NotAnAddress."""
    host, colon, port = text.rpartition(":")
    if not colon:
        hint = f"write 127.0.0.1:{text}" if _PORT.match(text) else "the port is missing"
        raise NotAnAddress(hint)
    if host in ("", "*"):
        raise NotAnAddress(f"to listen on every interface write 0.0.0.0:{port} or [::]:{port}")
    if host.startswith("[") and host.endswith("]"):
        inner = host[1:-1]
        if ":" not in inner:
            raise NotAnAddress("only IPv6 addresses stand in brackets")
        host = inner
    elif ":" in host:
        raise NotAnAddress("IPv6 addresses stand in brackets: [::1]:8080")
    return Address(host_form(host), _port_form(port))


@dataclass(frozen=True, slots=True)
class OriginUrl:
    """Where an origin is reached: scheme http or https, host without brackets, port always set."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """As a Host field says it: the port only where it is not the scheme's own."""
        if self.port == DEFAULT_PORTS[self.scheme]:
            return bracketed(self.host)
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def address(self) -> Address:
        """Where to connect."""
        return Address(self.host, self.port)


def origin_url(text: str) -> OriginUrl:
    """Reads `http://host:port`. Raises NotAnAddress.

    No path: targets are forwarded as they came, and a prefix would have to be taken off redirects, cookies and
    purged URLs again. No user and password: they would end up in logs.
    """
    if not text.isascii() or re.search(r"[\x00-\x20\x7f\\]", text):
        raise NotAnAddress("no spaces, control or non-ASCII characters")
    if "://" not in text:
        raise NotAnAddress(f"write http://{text}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise NotAnAddress("the host or the port is malformed") from error
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise NotAnAddress("the scheme is http or https")
    if "@" in parts.netloc:
        raise NotAnAddress("without user and password")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise NotAnAddress("without path or query: targets are forwarded as they came")
    if not parts.hostname or port == 0 or parts.netloc.endswith(":"):
        raise NotAnAddress("the host or the port is malformed")
    if "[" in parts.netloc and ":" not in parts.hostname:
        raise NotAnAddress("only IPv6 addresses stand in brackets")
    return OriginUrl(scheme, host_form(parts.hostname), port or DEFAULT_PORTS[scheme])
