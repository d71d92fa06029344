"""A node's admin port as its file says it: who may ask, under which names, and how the port opens and closes."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seawall.admin.tokenfile import keep_token, leave_note, remove_note
from seawall.admin.tokens import EVERYTHING, Tokens, nodes_token
from seawall.config.address import Address
from seawall.config.places import data_directory, state_directory
from seawall.config.schema import MetricsAccess, Topology
from seawall.config.secrets import Secret, read_secrets

if TYPE_CHECKING:
    from aiohttp import web

Holder = tuple[str, str, Iterable[str]]  # as Tokens takes them


@dataclass(frozen=True, slots=True)
class Who:
    """Who may ask. `own`: the directory of the token that the node made for itself, where the file names none."""

    tokens: Tokens
    own: Path | None


@dataclass(frozen=True, slots=True)
class OpenAdmin:
    """The open admin port: where it is, if it has an address, and how it ends."""

    address: str | None
    close: Callable[[], Awaitable[None]]


def who_may_ask(topology: Topology, name: str, secret: str | None, *more: Holder) -> Who:
    """The file's tokens or one of the node's own, and the other nodes. Raises ConfigError, OSError and Unsafe."""
    node = topology.nodes[name]
    own: Path | None = None
    secrets: Iterable[Secret] = read_secrets(topology, os.environ)
    if not secrets and node.admin is not None:
        own = data_directory(node.data, name, os.environ)
        secrets = (Secret("local", keep_token(own), frozenset(EVERYTHING)),)
    holders: list[Holder] = [(each.name, each.secret, each.may) for each in secrets]
    if secret is not None:
        holders.append(nodes_token(secret))
    return Who(Tokens([*holders, *more]), own)


def host_names(topology: Topology, wanted: Address) -> tuple[str, ...]:
    """What the port may be called: nodes call their hub by the file's name for it."""
    return (*topology.admin.hosts, wanted.host)


def open_metrics(topology: Topology, wanted: Address) -> bool:
    """May anyone read /metrics?"""
    access = topology.admin.metrics
    return access is MetricsAccess.OPEN or (access is MetricsAccess.LOOPBACK and wanted.loopback)


async def open_admin(app: web.Application, wanted: Address, own: Path | None) -> OpenAdmin:
    """Listens, and tells the command line of this user where the node's own token lies. Raises OSError, Unsafe."""
    from seawall.admin.port import open_port

    port = await open_port(app, wanted.host, wanted.port)
    note = None if own is None else leave_note(state_directory(os.environ), wanted.host, port.port, own)

    async def close() -> None:
        if note is not None:
            remove_note(note)
        await port.close()

    return OpenAdmin(port.address, close)
