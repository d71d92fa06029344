"""A journal in Redis needs a Redis at the node that numbers the orders."""

from __future__ import annotations

import pytest

from tests.config.test_checks import ORIGIN, nodes, said

REDIS = "redis: {url: 'redis://127.0.0.1:6379/0'}"
SHARED = f"store: {{{REDIS}}}\n"
PURGE = "purge: {journal: redis}\n"
OWN_WITHOUT = "a: {role: edge, listen: 'h:1', store: {memory: {size: 64MiB}}}"
OWN_WITH = f"a: {{role: edge, listen: 'h:1', store: {{{REDIS}}}}}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (nodes("a: {role: edge, listen: 'h:1'}") + SHARED + PURGE, []),
        (nodes("a: {role: edge, listen: 'h:1'}") + PURGE, ["4 purge.journal: the store has no redis"]),
        (nodes(OWN_WITH) + PURGE, []),
        (nodes(OWN_WITHOUT) + SHARED + PURGE, ["5 purge.journal: the store of 'a', the hub, has no redis"]),
        # Only the hub needs it.
        (
            nodes(
                "s: {role: shield, listen: 'h:2', admin: 'h:3'}",
                "a: {role: edge, listen: 'h:1', parents: [s], store: {memory: {size: 64MiB}}}",
            )
            + SHARED
            + PURGE,
            [],
        ),
    ],
)
def test_hub_of_a_journal_in_redis_has_one(text: str, expected: list[str]) -> None:
    assert said(ORIGIN + text) == expected
