"""The tree that `serve --origin URL` means: one node on one origin, everything else by default."""

from __future__ import annotations

from typing import TypeVar

from seawall.config.kinds import NAME, Kind, Listen, Text, Url, read_item
from seawall.config.located import Scalar
from seawall.config.problems import NOWHERE, ConfigError, Reading
from seawall.config.roles import Role
from seawall.config.schema import WORKERS, Disk, Node, Origin, Source, Store, Topology

T = TypeVar("T")

COMMAND_LINE = "command line"


def from_flags(
    origin_url: str, listen: str, admin: str | None, data: str | None, name: str | None, workers: int = 1
) -> Topology:
    """One node named `name` on the origin `origin`. Raises ConfigError with all problems.

    Without a name it is called after its port: two on one machine, one behind the other, must not take
    each other for themselves (CDN-Loop, RFC 8586). Who names a directory for it wants what it stores to be there.
    """
    reading = Reading(COMMAND_LINE)
    url = _read(Url(), origin_url, "--origin", reading)
    where = _read(Listen(), listen, "--listen", reading)
    port = _read(Listen(), admin, "--admin", reading)
    called = _read(Text("a name: letters, digits, dash and underscore, at most 63", NAME), name, "--name", reading)
    place = _read(Text("a path of the file system"), data, "--data", reading)
    count = _read(WORKERS, str(workers), "--workers", reading)
    if where is not None and port is not None and where.clashes(port):
        reading.refuse("--admin", f"{port} is taken by --listen")
    if reading.problems or where is None or count is None:
        raise ConfigError(reading.problems)
    called = called or (f"seawall-{where.port}" if where.port else "seawall")
    node = Node(name=called, role=Role.EDGE, listen=where, admin=port, data=place, workers=count)
    return Topology(
        origins={"origin": Origin(name="origin", url=url)},
        nodes={called: node},
        store=Store() if place is None else Store(disk=Disk()),
        source=Source(COMMAND_LINE, {}),
    )


def _read(kind: Kind[T], text: str | None, flag: str, reading: Reading) -> T | None:
    return None if text is None else read_item(kind, Scalar(text, NOWHERE), flag, reading)
