"""From a topology to routes and limits. Reads the tree so that nothing below has to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from roles.ways import Way, Ways
from seawall.config import schema
from seawall.downstream.limits import Limits
from seawall.engine.route import Everywhere, Route
from seawall.http.message import RequestHead
from seawall.policy.rules import Rules
from seawall.routing import Router, climbs


def router_for(
    routes: tuple[schema.Route, ...],
    rules_for: Callable[[schema.Route], Rules],
    origin_of: Callable[[schema.Route], schema.Origin],
    ways: Ways,
) -> Callable[[RequestHead], Route | None]:
    """Which route takes a request; None where none does."""
    router = Router(routes)
    taken = tuple(_route(rules_for(route), ways[origin_of(route).name]) for route in routes)
    if len(taken) == 1 and routes[0].match == schema.Match():
        return Everywhere(*taken)

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


def _route(rules: Rules, way: Way) -> Route:
    return Route(rules, way.foreground, way.background, way.straight)
