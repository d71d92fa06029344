"""The tags that a stored response can be purged by.

Knows no index. Tags keep their case; each is there once, in order.
"""

from __future__ import annotations

from seawall.http.fields import parse_cache_tag, parse_surrogate_key
from seawall.http.headers import Headers, combined
from seawall.http.structured import Item, parse_list
from seawall.policy.rules import Rules

# Cloudflare and Fastly take 16 KiB of tags a response. More is not cut but not stored: an object
# without some of its tags could not be purged by them.
MAX_TAG_BYTES = 16 * 1024


def tags(fields: Headers, rules: Rules, origin: str = "") -> tuple[str, ...] | None:
    """From Surrogate-Key, Cache-Tag, Cache-Groups and the route; None where they are over 16 KiB together.

    `origin` is scheme://authority: a group holds for one origin only (RFC 9875 2), so it has a tag of its
    own in the form of `group_tag`, beside the plain one that a purge by tag names.
    """
    if "surrogate-key" not in fields and "cache-tag" not in fields and "cache-groups" not in fields:
        return rules.tags
    surrogate = combined(fields, "surrogate-key")
    cache_tag = combined(fields, "cache-tag")
    groups = combined(fields, "cache-groups")
    if sum(len(value) for value in (surrogate, cache_tag, groups) if value is not None) > MAX_TAG_BYTES:
        return None
    names = dict.fromkeys(parse_surrogate_key(surrogate) + parse_cache_tag(cache_tag))
    for group in group_names(groups):
        names[group] = None
        names[group_tag(origin, group)] = None
    names.update(dict.fromkeys(rules.tags))
    return tuple(names)


def group_names(value: str | None) -> tuple[str, ...]:
    """The members of Cache-Groups or Cache-Group-Invalidation: a List of Strings (RFC 9875 2), else nothing."""
    members = parse_list(value) if value is not None else None
    if members is None or not all(isinstance(member, Item) and type(member.value) is str for member in members):
        return ()
    names = [member.value for member in members if isinstance(member, Item) and isinstance(member.value, str)]
    return tuple(dict.fromkeys(name for name in names if name))


def group_tag(origin: str, group: str) -> str:
    """The tag of one origin's group. No tag of another field looks like it unless it was written to."""
    return f"{origin}#{group}"
