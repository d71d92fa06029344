"""From a topology to the parts of one node: upstreams, routes, limits. Reads the tree so that nothing below has to."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from seawall.config import schema
from seawall.downstream.limits import Limits
from seawall.engine.engine import Route
from seawall.http.message import RequestHead
from seawall.policy.rules import Rules
from seawall.routing import Router, climbs
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.hosted import Hosted
from seawall.upstream.pool import Pool
from seawall.upstream.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Ways:
    """How a node reaches one origin: for those who wait, and for what nobody waits for. `owned` is closed with it."""

    foreground: Upstream
    background: Upstream
    owned: tuple[Upstream, ...] = field(default=())

    async def close(self) -> None:
        for upstream in self.owned:
            await upstream.close()


def ways_of(topology: schema.Topology, node: schema.Node) -> dict[str, Ways]:
    """The way to each origin, by its name."""
    ways = {}
    for origin in topology.origins.values():
        pool = pool_for(origin)
        upstream = pool if origin.host is None else Hosted(pool, origin.host)
        ways[origin.name] = Ways(upstream, upstream, (pool,))
    return ways


def pool_for(origin: schema.Origin) -> Pool:
    """Connections to an origin's one address, as its settings say."""
    (url,) = origin.addresses
    return Pool(
        Address.parse(str(url)),
        Timeouts(connect=origin.timeouts.connect, first_byte=origin.timeouts.first_byte, idle=origin.timeouts.idle),
        max_connections=origin.max_connections,
        ssl=_tls(origin.tls) if url.scheme == "https" else None,
    )


def router_for(
    routes: tuple[schema.Route, ...],
    rules_for: Callable[[schema.Route], Rules],
    origin_of: Callable[[schema.Route], schema.Origin],
    ways: Mapping[str, Ways],
) -> Callable[[RequestHead], Route | None]:
    """Which route takes a request; None where none does."""
    router = Router(routes)
    taken = tuple(_route(rules_for(route), ways[origin_of(route).name]) for route in routes)
    if len(taken) == 1 and routes[0].match == schema.Match():
        (only,) = taken
        return lambda head: only

    humble = tuple(replace(route, rules=_without_ttl(route.rules)) for route in taken)

    def route(head: RequestHead) -> Route | None:
        index = router.match(head.authority, head.target, head.method)
        if index is None:
            return None
        # /static/..%2faccount begins like a static file, and only its origin knows what it is (HAZARDS T37).
        return humble[index] if climbs(head.target) else taken[index]

    return route


def limits_for(limits: schema.Limits) -> Limits:
    """What a client may cost, in the words of the connection."""
    return Limits(
        header_timeout=limits.header_timeout,
        idle_timeout=limits.idle_timeout,
        body_stall=limits.body_timeout,
        send_stall=limits.send_timeout,
        max_connections=limits.max_connections,
        max_head_bytes=limits.max_header_size,
        max_target_bytes=limits.max_url_size,
        max_fields=limits.max_headers,
        max_body_bytes=limits.max_body_size,
    )


def _without_ttl(rules: Rules) -> Rules:
    """The same, but only the origin says what may be stored."""
    return replace(rules, ttl=None, default_ttl=None, negative_ttl=())


def _route(rules: Rules, way: Ways) -> Route:
    return Route(rules, way.foreground, way.background)


def _tls(tls: schema.Tls) -> ssl.SSLContext | None:
    """None: verify against the system's authorities, which is the pool's own default."""
    if tls.verify and tls.ca is None:
        return None
    context = ssl.create_default_context(cafile=tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
