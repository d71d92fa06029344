"""A topology on its way from one process of a node to another: its tree as JSON, and back.

Not the file again: it may read differently by now. And no pickle: what comes back is built from the declared types of
the settings and of nothing else. No checks; what is passed on has been checked.
"""

from __future__ import annotations

import ipaddress
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T")

_NETWORKS = (ipaddress.IPv4Network, ipaddress.IPv6Network)


def encode(tree: object) -> bytes:
    """A dataclass of settings as JSON."""
    return msgspec.json.encode(_plain(tree))


def decode(kind: type[T], body: bytes) -> T:
    """The tree that was encoded, of the same version of these settings. Raises ValueError for what is no JSON."""
    built = _built(kind, msgspec.json.decode(body))
    assert isinstance(built, kind)  # noqa: S101
    return built


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (*_NETWORKS, Path)):
        return str(value)
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _built(kind: Any, plain: Any) -> object:
    """Of this declared type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if set(inner) <= set(_NETWORKS):
            return ipaddress.ip_network(plain)
        present = [each for each in inner if each is not types.NoneType]
        assert len(present) == 1, kind  # noqa: S101 (optional settings; no other union is declared)
        return None if plain is None else _built(present[0], plain)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_built(inner[0], item) for item in plain)
        return tuple(_built(each, item) for each, item in zip(inner, plain, strict=True))
    if origin is not None:
        assert issubclass(origin, Mapping), kind  # noqa: S101
        return {key: _built(inner[1], item) for key, item in plain.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _built(hints[name], item) for name, item in plain.items()})
    return kind(plain)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
