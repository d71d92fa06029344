"""From the file's words for a route to the values that policy needs: one to one."""

from __future__ import annotations

from seawall.config.schema import Memory, Route
from seawall.policy.rules import KeyRules, Rules


def rules_for(route: Route, memory: Memory) -> Rules:
    """The rules of a route on a node with this memory level."""
    return Rules(
        cache=route.cache,
        ttl=route.ttl,
        default_ttl=route.default_ttl,
        stale_while_revalidate=route.stale_while_revalidate,
        stale_if_error=route.stale_if_error,
        stale_if_unreachable=route.stale_if_unreachable,
        negative_ttl=route.negative_ttl,
        set_cookie=route.set_cookie,
        request_directives=route.request_directives,
        tags=route.tags,
        key=KeyRules(
            query_allow=route.key.query.allow,
            query_deny=route.key.query.deny,
            headers=route.key.headers,
            cookies=route.key.cookies,
        ),
        max_object_bytes=min(route.max_object_size, memory.max_object_size, memory.size),
        max_head_bytes=route.max_head_size,
        max_variants=route.max_variants,
    )
