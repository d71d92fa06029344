"""From the file's words for a route to the values that policy needs: one to one."""

from __future__ import annotations

from roles.levels import most_stored
from seawall.config.schema import Route, Store
from seawall.policy.rules import KeyRules, Rules


def rules_for(route: Route, store: Store) -> Rules:
    """The rules of a route on a node with this store."""
    most = most_stored(store)
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
        early_refresh=route.early_refresh,
        ttl_jitter=route.ttl_jitter,
        min_uses=route.min_uses,
        tags=route.tags,
        key=KeyRules(
            query_allow=route.key.query.allow,
            query_deny=route.key.query.deny,
            headers=route.key.headers,
            cookies=route.key.cookies,
        ),
        max_object_bytes=most if route.max_object_size is None else min(route.max_object_size, most),
        max_head_bytes=route.max_head_size,
        max_variants=route.max_variants,
    )
