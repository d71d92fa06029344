"""The name of a stored response: the URL as it is forwarded, and what the route adds (RFC 9111 2).

Knows no store. The key holds exactly the bytes that the origin sees (HAZARDS T36), nothing is normalised. What
the route adds stands behind line feeds, which cannot occur in a URL or in a field (HAZARDS T35).
"""

from __future__ import annotations

from urllib.parse import unquote_plus

from seawall.http.headers import Headers, combined
from seawall.http.message import RequestHead
from seawall.policy.rules import KeyRules


def keyed_target(target: str, rules: KeyRules) -> str:
    """The target as it is forwarded and keyed: without the query arguments that the route leaves out.

    Without rules for the query it is `target`, byte for byte. What is left keeps its order and its spelling.
    """
    if rules.query_allow is None and not rules.query_deny:
        return target
    path, mark, query = target.partition("?")
    if not mark:
        return target
    kept = [argument for argument in query.split("&") if _wanted(argument, rules)]
    return f"{path}?{'&'.join(kept)}" if any(kept) else path


def _wanted(argument: str, rules: KeyRules) -> bool:
    # Decoded, or utm%5Fsource would pass for another name than the one the origin reads.
    name = unquote_plus(argument.partition("=")[0], errors="replace")
    if rules.query_allow is not None and name not in rules.query_allow:
        return False
    return not any(_denies(pattern, name) for pattern in rules.query_deny)


def _denies(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def cache_key(request: RequestHead, rules: KeyRules) -> str:
    """The key of what this request asks for. `request.target` is already the keyed one.

    A component that is absent is left out, so it differs from one that is empty.
    """
    url = request.url
    if not rules.headers and not rules.cookies:
        return url
    parts = [url]
    for name in rules.headers:
        value = combined(request.headers, name)
        if value is not None:
            parts.append(f"{name.lower()}:{value}")
    if rules.cookies:
        parts += _cookies(request.headers, rules.cookies)
    return "\n".join(parts)


def _cookies(fields: Headers, names: tuple[str, ...]) -> list[str]:
    """`;name=value` for each keyed cookie, every one where a name comes twice: which of them counts, only the
    origin knows. No field name begins with a semicolon.
    """
    found: list[str] = []
    pairs = [pair.strip(" \t").partition("=") for line in fields.getall("cookie", ()) for pair in line.split(";")]
    for wanted in names:
        found += [f";{wanted}={value.strip()}" for name, mark, value in pairs if mark and name.strip() == wanted]
    return found
