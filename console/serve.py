"""`seawall serve`: one node in this process, from flags or from a topology file."""

from __future__ import annotations

from console import node as runner
from console import say
from console.exits import Exit
from seawall.config.flags import from_flags
from seawall.config.kinds import did_you_mean
from seawall.config.problems import ConfigError
from seawall.config.schema import Topology

LISTEN = "127.0.0.1:8080"
ADMIN = "127.0.0.1:8081"


def from_origin(
    origin: str,
    *,
    listen: str | None,
    admin: str | None,
    data: str | None,
    name: str | None,
    workers: int | None,
    json: bool,
) -> int:
    """Serves an origin; what was not said has its default."""
    try:
        topology = from_flags(origin, listen or LISTEN, admin or ADMIN, data, name, 1 if workers is None else workers)
    except ConfigError as error:
        say.problems(error)
        return Exit.USAGE
    return _serve(topology, next(iter(topology.nodes)), json)


def from_file(file: str, name: str | None, *, json: bool) -> int:
    """Serves one node of a topology; the name may be left out where there is only one."""
    from seawall.config.load import load

    try:
        topology = load(file)
    except ConfigError as error:
        say.problems(error)
        return Exit.USAGE
    names = list(topology.nodes)
    if name is None and len(names) != 1:
        say.error(f"--node is needed: {file} has " + (", ".join(names) if names else "no nodes"))
        return Exit.USAGE
    if name is not None and name not in names:
        say.error(f"{file} has no node '{name}' ({did_you_mean(name, names)})")
        return Exit.USAGE
    return _serve(topology, name or names[0], json)


def _serve(topology: Topology, name: str, json: bool) -> int:
    return runner.run(topology, topology.nodes[name], json=json)
