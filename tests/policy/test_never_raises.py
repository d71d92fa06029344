"""No two heads make policy raise: what a peer sends has an answer, not a traceback."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.decide import decide
from seawall.policy.entry import Entry
from seawall.policy.forward import forward_head, loops
from seawall.policy.invalidate import invalidated_groups, invalidates
from seawall.policy.key import cache_key, keyed_target
from seawall.policy.outcomes import (
    Combine,
    Complete,
    Decision,
    Failure,
    Fetch,
    PassOn,
    Refresh,
    Revalidate,
    Serve,
    ServeStale,
    Store,
    UseStale,
)
from seawall.policy.present import present
from seawall.policy.reasons import Reason
from seawall.policy.rules import KeyRules, Rules, SetCookie
from seawall.policy.search import search_key
from seawall.policy.settle import settle
from seawall.policy.tags import tags
from seawall.policy.update import head_effect
from tests.policy.heads import NOW, date

REQUEST_FIELDS = {
    "Range": ["bytes=0-4", "bytes=-5", "bytes=5-", "bytes=0-1,4-5", "bytes=x", ""],
    "If-Range": ['"a"', 'W/"a"', date(-1000), ""],
    "If-None-Match": ['"a"', "*", "", '"'],
    "If-Modified-Since": [date(), date(-1000), "0"],
    "If-Match": ['"a"', "*", ""],
    "If-Unmodified-Since": [date(), "x"],
    "Cache-Control": ["no-cache", "max-age=0", "only-if-cached", "no-store", "max-stale", "min-fresh=9", '"'],
    "Pragma": ["no-cache"],
    "Cookie": ["a=b", "=;;"],
    "Authorization": ["x"],
    "Foo": ["1", "2", ""],
    "Accept-Language": ["en, de", "de;q=0.5, en", "q"],
    "Connection": ["upgrade", "close, Foo", ","],
    "Upgrade": ["websocket"],
    "Content-Length": ["0", "5", "x"],
    "CDN-Loop": ["n", ",;"],
    "X-Forwarded-For": ["x"],
}
RESPONSE_FIELDS = {
    "Cache-Control": [
        "max-age=60",
        "no-store",
        "private",
        'private="a"',
        "no-cache",
        "s-maxage=1, max-age=9",
        "public",
    ],
    "CDN-Cache-Control": ["max-age=60", "no-store", "&&", 'private="a"', "max-age=?0", "no-cache=(a)"],
    "Surrogate-Control": ["max-age=1+2", "no-store", 'content="ESI/1.0"', "max-age="],
    "Expires": [date(60), "0", ""],
    "Date": [date(), date(-60), date(60), "x"],
    "Age": ["5", "-1", "x", "9" * 40],
    "Last-Modified": [date(-1000), "x"],
    "ETag": ['"a"', 'W/"a"', "a", "", '"'],
    "Vary": ["*", "Foo", "Accept-Language", "x y", ""],
    "Set-Cookie": ["a=b"],
    "Content-Range": ["bytes 0-4/10", "bytes 5-9/10", "bytes 0-9/10", "bytes 5-9/*", "bytes */10", "x"],
    "Content-Length": ["5", "10", "x", ""],
    "Content-Type": ["text/plain", "multipart/byteranges"],
    "Content-Language": ["de", ""],
    "Content-Location": ["/a", "//[", ""],
    "Location": ["/b", "http://[::1", "\t"],
    "Connection": ["Foo", "Cache-Control"],
    "Surrogate-Key": ["a b", "x" * 20_000],
    "Cache-Groups": ['"g"', "g"],
    "Cache-Group-Invalidation": ['"g"', '"'],
    "No-Vary-Search": ["params", '"'],
}


def fields(known: dict[str, list[str]]) -> st.SearchStrategy[list[tuple[str, str]]]:
    text = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12)
    line = st.sampled_from(sorted(known)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(known[name]) | text)
    )
    return st.lists(line, max_size=6)


requests = st.builds(
    lambda method, target, pairs, minor: RequestHead(method, "http", "example.test", target, headers(pairs), minor),
    st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS"]),
    st.sampled_from(["/a", "/a?x=1&utm_a=2", "*", "/a?%"]),
    fields(REQUEST_FIELDS),
    st.sampled_from([0, 1]),
)
replies = st.builds(
    lambda status, pairs: ResponseHead(status, "", headers(pairs)),
    st.sampled_from([101, 103, 200, 200, 204, 206, 206, 301, 302, 304, 304, 400, 404, 412, 416, 500, 503, 599, 999]),
    fields(RESPONSE_FIELDS),
)
rules = st.sampled_from(
    [
        Rules(),
        Rules(ttl=5, stale_while_revalidate=5, stale_if_error=5, request_directives=True),
        Rules(default_ttl=5, negative_ttl=(("404", 5.0), ("5xx", 5.0)), set_cookie=SetCookie.STRIP),
        Rules(set_cookie=SetCookie.STORE, max_variants=1, max_object_bytes=8, request_directives=True),
    ]
)
answers = st.one_of(replies, replies, replies, st.just(Failure(Reason.RESET, 502)))


@settings(max_examples=250, deadline=None)
@given(requests, replies, requests, answers, requests, rules, st.booleans(), st.floats(0, 200))
def test_a_conversation_of_any_heads(
    first: RequestHead,
    filling: ResponseHead,
    second: RequestHead,
    answer: ResponseHead | Failure,
    third: RequestHead,
    rule: Rules,
    flag: bool,
    later: float,
) -> None:
    settlement = settle(first, False, filling, True, None, (), NOW, NOW + 1, rule)
    held = (settlement.entry,) if isinstance(settlement, Store) else ()
    decision = decide(second, flag, held, NOW + later, rule, flag)
    asked, about = _asked(decision)
    if isinstance(decision, Serve | ServeStale):
        assert decision.entry in held
        present(second, decision.entry, 5, NOW + later)
    settlement = settle(second, asked, answer, not flag, about, held, NOW + later, NOW + later + 1, rule)
    if isinstance(settlement, Refresh | Combine | UseStale):
        assert any(settlement.entry is entry for entry in held), "what is not stored cannot be used"
    if isinstance(settlement, Store | Refresh | Combine):
        entry = settlement.entry if isinstance(settlement, Store) else settlement.updated
        assert entry.born_at <= entry.stored_at
        assert entry.fresh_until <= min(entry.swr_until, entry.sie_until, entry.unreachable_until)
        assert {"age", "connection", "upgrade"}.isdisjoint(name.lower() for name in entry.headers)
        decide(third, flag, (entry,), NOW + later, rule, flag)
        for body_bytes in (None, 5):
            present(third, entry, body_bytes, NOW + later)
            present(second, entry, body_bytes, NOW + later)
        head_effect(entry, filling, NOW, NOW, rule)
    if isinstance(settlement, PassOn) and isinstance(answer, Failure):
        assert not settlement.remember


def _asked(decision: Decision) -> tuple[bool, Entry | None]:
    if isinstance(decision, Revalidate | Complete):
        return bool(decision.conditions), decision.entry
    return False, None


@settings(max_examples=100, deadline=None)
@given(requests, replies, st.booleans())
def test_what_stands_around_the_doors(request: RequestHead, reply: ResponseHead, flag: bool) -> None:
    forward_head(request, peer="::1", node="n", keep_conditions=flag, keep_range=flag, upgrade=flag, trusted=flag)
    loops(request, "n")
    invalidates(request, reply)
    invalidated_groups(request, reply)
    tags(reply.headers, Rules(), "http://example.test")
    key = KeyRules(query_allow=("x",) if flag else None, query_deny=("utm_*",), headers=("foo",), cookies=("a",))
    cache_key(request, key)
    keyed_target(request.target, key)
    search_key(request.target, reply.headers.get("no-vary-search"))


@pytest.mark.parametrize("hit_for_miss", [True, False])
def test_a_request_is_never_left_without_a_decision(hit_for_miss: bool) -> None:
    request = RequestHead("GET", "http", "example.test", "/")
    assert isinstance(decide(request, False, (), NOW, Rules(), hit_for_miss), Fetch)
