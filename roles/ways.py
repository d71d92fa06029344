"""How a node reaches each origin: by itself, or through its parents. Reads the tree so that nothing below has to.

client's request -> Gate -> Group of addresses -> Pool                          straight on the origin
client's request -> Group of parents -> Parent -> Shaped (link) -> Pool         through a parent
                          +-> the way above, where the file allows and no parent answers
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from seawall.config import schema
from seawall.config.address import OriginUrl
from seawall.engine.peers import Parent
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.gate import Gate
from seawall.upstream.group import GATEWAY_FAILURES, Group, Member, Pick
from seawall.upstream.hosted import Hosted
from seawall.upstream.link import Link, Shaped, Wire
from seawall.upstream.pool import Pool
from seawall.upstream.prober import Prober, Target
from seawall.upstream.straight import Straight
from seawall.upstream.upstream import Upstream

# An eighth of an origin's requests at a time is kept for those who wait: refreshes in the background never fill it.
RESERVED_SHARE = 8
# How many may wait for an origin, for each that it answers at a time. At 15 s to a first byte the last of them
# would have given up anyway.
WAITING_SHARE = 8
# How often a parent is asked whether it is ready, and how long it may take to say so.
PARENT_PROBE_SECONDS = 1.0
PARENT_PROBE_TIMEOUT = 1.0
# Parents are near: who does not answer a connect in a second is gone, and the next one is asked.
PARENT_CONNECT_SECONDS = 1.0
PARENT_CONNECTIONS = 512


@dataclass(frozen=True, slots=True)
class Way:
    """To one origin: for those who wait, and for what nobody waits for; and in one step, where there is one address."""

    foreground: Upstream
    background: Upstream
    straight: Straight | None = None


class Ways:
    """A node's ways to all origins, by their names, and owner of what lies on them."""

    def __init__(self, ways: Mapping[str, Way], owned: list[Upstream], probers: list[Prober]) -> None:
        self._ways = ways
        self._owned = owned
        self._probers = probers

    def __getitem__(self, origin: str) -> Way:
        return self._ways[origin]

    def start(self) -> None:
        """Begins to probe. In a running event loop."""
        for prober in self._probers:
            prober.start()

    async def close(self) -> None:
        for prober in self._probers:
            await prober.close()
        for upstream in self._owned:
            await upstream.close()


def wire_of(node: schema.Node) -> Wire | None:
    """The network between this node and its parents, where the file makes it worse than it is."""
    return None if node.link is None else Wire(_link(node.link))


def ways_of(topology: schema.Topology, node: schema.Node, secret: str | None, wire: Wire | None = None) -> Ways:
    """The ways of this node. `secret` is what its parents know it by; needed where it has any."""
    owned: list[Upstream] = []
    probers: list[Prober] = []
    straight = {origin.name: _straight(origin, owned, probers) for origin in topology.origins.values()}
    if not node.parents:
        return Ways(straight, owned, probers)
    assert secret is not None  # noqa: S101 (whoever starts a node with parents has read it)
    parents = _parents(topology, node, secret, wire, owned)
    ways = {}
    for name, way in straight.items():
        group = Group(
            [Member(parent, upstream, preferred=near) for parent, upstream, near in parents],
            pick=Pick.RING,
            fallback=way.foreground if node.origin_fallback else None,
        )
        ways[name] = Way(group, group)
        probers.append(_parents_prober(topology, node, group))
    return Ways(ways, owned, probers)


def pool_for(origin: schema.Origin, url: OriginUrl, most: int | None = None) -> Pool:
    """Connections to one address of an origin, as its settings say; `most` of them where it is given."""
    return Pool(
        Address.parse(str(url)),
        Timeouts(connect=origin.timeouts.connect, first_byte=origin.timeouts.first_byte, idle=origin.timeouts.idle),
        max_connections=most or origin.max_connections,
        ssl=_tls(origin.tls) if url.scheme == "https" else None,
    )


def _straight(origin: schema.Origin, owned: list[Upstream], probers: list[Prober]) -> Way:
    pools = {str(url): pool_for(origin, url) for url in origin.addresses}
    # A group of one too: its breaker answers at once for an origin that refuses connections (HAZARDS F01).
    group = Group(
        [Member(name, pool) for name, pool in pools.items()],
        pick=Pick.ROUND_ROBIN,
        failing=GATEWAY_FAILURES if len(pools) > 1 else frozenset(),
    )
    if origin.health is not None:
        probers.append(_origin_prober(origin, origin.health, group))
    upstream: Upstream = group
    owned.append(upstream)
    if origin.host is not None:
        upstream = Hosted(upstream, origin.host)
    most = origin.max_connections * len(pools)
    gate = Gate(most, max_waiting=most * WAITING_SHARE, reserve=most // RESERVED_SHARE)
    # Under a Host of its own the origin is asked in other words than the client used.
    straight = Straight(gate, group, *pools.values()) if len(pools) == 1 and origin.host is None else None
    return Way(gate.foreground(upstream), gate.background(upstream), straight)


def _origin_prober(origin: schema.Origin, health: schema.Health, group: Group) -> Prober:
    targets = []
    for url in origin.addresses:
        pool = pool_for(origin, url, most=1)  # of its own: a pool that is full of work must not look ill
        member = group.members[str(url)]
        authority = origin.host or pool.address.authority
        targets.append(Target(str(url), pool, authority, health.path, member.probed, scheme=url.scheme))
    return Prober(targets, interval=health.interval, timeout=health.timeout)


def _parents(
    topology: schema.Topology, node: schema.Node, secret: str, wire: Wire | None, owned: list[Upstream]
) -> list[tuple[str, Upstream, bool]]:
    """Each parent's name, the way to it, and whether it is of our own region."""
    found: list[tuple[str, Upstream, bool]] = []
    for name in node.parents:
        parent = topology.nodes[name]
        upstream: Upstream = Pool(
            Address("http", parent.listen.host, parent.listen.port),
            Timeouts(connect=PARENT_CONNECT_SECONDS),
            max_connections=PARENT_CONNECTIONS,
        )
        owned.append(upstream)
        if wire is not None:
            upstream = Shaped(upstream, wire)
            owned.append(upstream)
        near = node.region is not None and parent.region == node.region
        found.append((name, Parent(upstream, secret), near))
    return found


def _parents_prober(topology: schema.Topology, node: schema.Node, group: Group) -> Prober:
    """Asks each parent that has an admin port whether it is ready; one that drains or catches up is not asked."""
    targets = []
    for name in node.parents:
        admin = topology.nodes[name].admin
        if admin is None:
            continue
        address = Address("http", admin.host, admin.port)
        pool = Pool(address, Timeouts(connect=PARENT_PROBE_TIMEOUT), max_connections=1)
        targets.append(Target(name, pool, address.authority, "/readyz", group.members[name].probed))
    return Prober(targets, interval=PARENT_PROBE_SECONDS, timeout=PARENT_PROBE_TIMEOUT)


def _link(link: schema.Link) -> Link:
    return Link(latency=link.latency, jitter=link.jitter, bandwidth=link.bandwidth, loss=link.loss)


def _tls(tls: schema.Tls) -> ssl.SSLContext | None:
    """None: verify against the system's authorities, which is the pool's own default."""
    if tls.verify and tls.ca is None:
        return None
    context = ssl.create_default_context(cafile=tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
