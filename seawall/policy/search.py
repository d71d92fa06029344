"""No-Vary-Search: which query arguments do not matter (IETF draft-ietf-httpbis-no-vary-search).

Knows no store. A response that carries it may be filed a second time under search_key(); a request whose target
has the same search key, under the same value, asks for the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from seawall.http.structured import InnerList, Item, parse_dictionary

# What a form has, not what an attacker sends: beyond it the target is only equal to itself.
_MOST_ARGUMENTS = 256


@dataclass(frozen=True, slots=True)
class _Search:
    ordered: bool  # does the order of different arguments matter?
    all_dropped: bool
    names: frozenset[str]  # those dropped, or with all_dropped those that stay


def search_key(target: str, no_vary_search: str | None) -> str:
    """The target with only the arguments that matter, in a spelling of its own.

    The target itself, byte for byte, where the field is absent, invalid or says nothing.
    """
    rule = _rule(no_vary_search)
    path, mark, query = target.partition("?")
    if rule is None:
        return target
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_ARGUMENTS) if mark else []
    except ValueError:
        return target
    kept = [(name, value) for name, value in pairs if (name in rule.names) == rule.all_dropped]
    if not rule.ordered:
        kept.sort(key=lambda pair: pair[0])  # stable: the values of one name keep their order
    return f"{path}?{urlencode(kept)}" if kept else path


def search_matches(stored_target: str, request_target: str, no_vary_search: str | None) -> bool:
    """Does what was stored for one target answer a request for the other?"""
    if stored_target == request_target:
        return True
    return search_key(stored_target, no_vary_search) == search_key(request_target, no_vary_search)


def _rule(value: str | None) -> _Search | None:
    members = parse_dictionary(value) if value is not None else None
    if not members:
        return None
    key_order, params, kept = members.get("key-order"), members.get("params"), members.get("except")
    ordered = key_order is None
    if key_order is not None:
        if not isinstance(key_order, Item) or not isinstance(key_order.value, bool):
            return None
        ordered = not key_order.value
    all_dropped = isinstance(params, Item) and params.value is True
    if isinstance(params, Item) and not isinstance(params.value, bool):
        return None
    if kept is not None and not (all_dropped and isinstance(kept, InnerList)):
        return None  # `except` is for `params` alone: all but these
    names = _strings(kept if all_dropped else params)
    if names is None or (ordered and not all_dropped and not names):
        return None
    return _Search(ordered, all_dropped, names)


def _strings(member: object) -> frozenset[str] | None:
    if not isinstance(member, InnerList):
        return frozenset()
    values = [item.value for item in member.items]
    return frozenset(value for value in values if isinstance(value, str)) if all(map(_is_string, values)) else None


def _is_string(value: object) -> bool:
    return type(value) is str
