"""What only two settings together can get wrong: names that nothing has, circles, ports taken twice.

Pure functions over the tree; each tells the reading all that it finds. A section that could not be read is not
missed by those that name it: it has its own problem already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from itertools import combinations

from seawall.config.address import Address
from seawall.config.kinds import did_you_mean
from seawall.config.place import caching_nodes, hub
from seawall.config.problems import Reading
from seawall.config.roles import Role
from seawall.config.schema import Journal, Origin, Store, Topology


def check(topology: Topology, reading: Reading) -> None:
    """Tells the reading of every problem between settings."""
    for one in _CHECKS:
        one(topology, reading)


def _origins(topology: Topology, reading: Reading) -> None:
    needed = not topology.nodes or any(_asks_origin(topology, name) for name in topology.nodes)
    if not topology.origins and needed and not _broken(reading, "origins"):
        reading.refuse("origins", "no origin is named", "origins: {app: {url: http://127.0.0.1:3000}}")
    for name, origin in topology.origins.items():
        _origin(f"origins.{name}", origin, reading)


def _asks_origin(topology: Topology, name: str) -> bool:
    node = topology.nodes[name]
    return node.role.caches and not node.parents


def _origin(path: str, origin: Origin, reading: Reading) -> None:
    tried = reading.spots.keys() & {f"{path}.url", f"{path}.urls"}
    if not origin.addresses and not tried:
        reading.refuse(path, "has no address", "url: http://127.0.0.1:3000")
    if len(tried) == 2:
        reading.refuse(f"{path}.urls", "stands beside url", "one of the two is enough")
    if f"{path}.urls" in tried and not origin.urls and not _broken(reading, f"{path}.urls"):
        reading.refuse(f"{path}.urls", "is an empty list", "name at least one address")
    plain = origin.addresses and all(url.scheme == "http" for url in origin.addresses)
    if plain and f"{path}.tls" in reading.spots:
        reading.refuse(f"{path}.tls", "has no effect on an http address", "write https:// or leave tls out")
    if len({url.scheme for url in origin.addresses}) > 1:
        reading.refuse(f"{path}.urls", "mixes http and https", "a pool's addresses answer alike")


def _routes(topology: Topology, reading: Reading) -> None:
    names = _names(topology.origins, "origins", reading)
    routes = topology.routes or ((topology.effective_routes()[0],) if topology.origins else ())
    for index, route in enumerate(routes):
        path = f"routes[{index}].origin" if topology.routes else "routes"
        if route.origin is None and len(names) > 1:
            reading.refuse(path, "which origin is not said, and there are several", "known: " + ", ".join(names))
        elif route.origin is not None and route.origin not in names and names:
            reading.refuse(path, f"no origin is called '{route.origin}'", did_you_mean(route.origin, names))


def _nodes(topology: Topology, reading: Reading) -> None:
    names = _names(topology.nodes, "nodes", reading)
    for name, node in topology.nodes.items():
        for index, parent in enumerate(node.parents):
            path = f"nodes.{name}.parents[{index}]"
            if parent not in names:
                reading.refuse(path, f"no node is called '{parent}'", did_you_mean(parent, names))
            elif parent in topology.nodes and topology.nodes[parent].role is not Role.SHIELD:
                reading.refuse(path, f"'{parent}' is no shield", "only shields answer other nodes")
        if not node.role.caches:
            for key in ("admin", "parents", "link", "store", "data", "workers", "region"):
                if f"nodes.{name}.{key}" in reading.spots:
                    reading.refuse(f"nodes.{name}.{key}", f"means nothing to a node of the role {node.role}")


def _circles(topology: Topology, reading: Reading) -> None:
    done: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = (*above[above.index(name) :], name)
            done.update(circle)
            reading.refuse(f"nodes.{name}.parents", "asks itself in the end: " + " > ".join(circle))
        elif name not in done and name in topology.nodes:
            for parent in topology.nodes[name].parents:
                walk(parent, (*above, name))
            done.add(name)

    for name in topology.nodes:
        walk(name, ())


def _ports(topology: Topology, reading: Reading) -> None:
    taken: list[tuple[str, Address]] = []
    for name, node in topology.nodes.items():
        taken.append((f"nodes.{name}.listen", node.listen))
        if node.admin is not None:
            taken.append((f"nodes.{name}.admin", node.admin))
    for (first, one), (second, other) in combinations(taken, 2):
        if one.clashes(other):
            reading.refuse(second, f"{other} is taken by {first}", f"line {reading.nearest(first).line}")


def _data(topology: Topology, reading: Reading) -> None:
    owners: dict[str, str] = {}
    for name, node in topology.nodes.items():
        if node.data is None:
            continue
        place = node.data.rstrip("/")
        if place in owners:
            reading.refuse(f"nodes.{name}.data", f"is the directory of {owners[place]} too", "each node has its own")
        owners.setdefault(place, name)


def _stores(topology: Topology, reading: Reading) -> None:
    stores = {"store": topology.store}
    stores |= {f"nodes.{name}.store": node.store for name, node in topology.nodes.items() if node.store is not None}
    for path, store in stores.items():
        _store(path, store, reading)


def _store(path: str, store: Store, reading: Reading) -> None:
    key = f"{path}.memory.max_object_size"
    if key in reading.spots and store.memory.max_object_size > store.memory.size:
        reading.refuse(key, "is larger than the whole memory", f"{path}.memory.size")


def _purge(topology: Topology, reading: Reading) -> None:
    named = topology.purge.hub
    names = _names(topology.nodes, "nodes", reading)
    if named is not None and named not in names:
        reading.refuse("purge.hub", f"no node is called '{named}'", did_you_mean(named, names) if names else "")
    elif named is not None and named in topology.nodes and not topology.nodes[named].role.caches:
        reading.refuse("purge.hub", f"'{named}' stores nothing", "a hub is a node that caches")


def _journal(topology: Topology, reading: Reading) -> None:
    """The journal is in the Redis of the node that numbers the orders."""
    nodes = caching_nodes(topology)
    name = topology.purge.hub
    if name is None and any(not node.parents for node in nodes.values()):
        name = hub(topology)
    store = topology.store_of(nodes[name]) if name in nodes else topology.store
    if topology.purge.journal is Journal.REDIS and store.redis is None and not _broken(reading, "store"):
        own = name in nodes and nodes[name].store is not None
        whose = f"the store of '{name}', the hub," if own else "the store"
        reading.refuse("purge.journal", f"{whose} has no redis", "store: {redis: {url: redis://127.0.0.1:6379/0}}")


def _hub_can_be_reached(topology: Topology, reading: Reading) -> None:
    """Several nodes follow the orders of one, over its admin port, at a port that the file tells them."""
    nodes = caching_nodes(topology)
    if len(nodes) < 2 or reading.problems or not any(not node.parents for node in nodes.values()):
        return
    name = hub(topology)
    admin = nodes[name].admin if name in nodes else None
    if name in nodes and (admin is None or admin.port == 0):
        reading.refuse(
            f"nodes.{name}.admin" if admin is not None else f"nodes.{name}",
            f"'{name}' numbers the purges of {len(nodes)} nodes and needs an admin port that they know",
            "admin: 127.0.0.1:8201",
        )


def _secret(topology: Topology, reading: Reading) -> None:
    secret = topology.purge.secret
    if secret is not None and (secret.env is None) == (secret.file is None):
        reading.refuse(
            "purge.secret", "takes one of env and file", "the secret itself does not stand in the configuration"
        )


def _tokens(topology: Topology, reading: Reading) -> None:
    for index, token in enumerate(topology.admin.tokens):
        path = f"admin.tokens[{index}]"
        if (token.env is None) == (token.file is None):
            reading.refuse(path, "takes one of env and file", "the secret itself does not stand in the configuration")
        if not token.may:
            reading.refuse(f"{path}.may", "allows nothing", "leave it out to allow everything")
    for name, count in Counter(token.name for token in topology.admin.tokens).items():
        if count > 1:
            reading.refuse("admin.tokens", f"{count} tokens are called '{name}'", "logs tell them apart by name")


def _names(sections: Collection[str], path: str, reading: Reading) -> list[str]:
    """All names of a section, those included whose settings could not be read."""
    broken = [name.removeprefix(f"{path}.") for name in reading.broken if name.startswith(f"{path}.")]
    return [*sections, *(name for name in broken if name not in sections)]


def _broken(reading: Reading, path: str) -> bool:
    """Is there a problem at or below this path already?"""
    return any(
        problem.path == path or problem.path.startswith((f"{path}.", f"{path}[")) for problem in reading.problems
    )


_CHECKS: tuple[Callable[[Topology, Reading], None], ...] = (
    _origins,
    _routes,
    _nodes,
    _circles,
    _ports,
    _data,
    _stores,
    _purge,
    _journal,
    _hub_can_be_reached,
    _secret,
    _tokens,
)
