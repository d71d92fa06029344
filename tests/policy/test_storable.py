"""What is stored and what is not, each no by its name (RFC 9111 3)."""

from __future__ import annotations

import pytest

from seawall.http.message import RequestHead
from seawall.policy.freshness import Instants
from seawall.policy.outcomes import PassOn, Store
from seawall.policy.reasons import Reason
from seawall.policy.rules import DEFAULT, Rules, SetCookie
from seawall.policy.storable import head_bytes
from tests.policy.heads import NOW, Pairs, date, get, settled, stored

FRESH = "max-age=60"


def cc(value: str, **more: str) -> dict[str, str]:
    return {"Cache-Control": value, **{name.replace("_", "-"): text for name, text in more.items()}}


@pytest.mark.parametrize(
    ("fields", "reason", "remember"),
    [
        (cc("no-store"), Reason.NO_STORE, True),
        (cc("No-StOrE, max-age=60"), Reason.NO_STORE, True),
        (cc("private, max-age=60"), Reason.PRIVATE, True),
        (cc(FRESH, CDN_Cache_Control="private"), Reason.PRIVATE, True),
        (cc(FRESH, CDN_Cache_Control="no-store"), Reason.NO_STORE, True),
        (cc(FRESH, Surrogate_Control="no-store"), Reason.NO_STORE, True),
        (cc("private", Surrogate_Control="max-age=60"), Reason.PRIVATE, True),
        (cc("no-store", CDN_Cache_Control='max-age="60"'), Reason.NO_STORE, True),
        (cc(FRESH, Vary="*"), Reason.VARY_STAR, True),
        (cc(FRESH, Vary=", *"), Reason.VARY_STAR, True),
        (cc(FRESH, Vary="Foo, *"), Reason.VARY_STAR, True),
        (cc(FRESH, Vary="X-Forwarded-For"), Reason.VARY_STAR, True),
        (cc(FRESH, Set_Cookie="a=b"), Reason.SET_COOKIE, True),
        ({}, Reason.NO_FRESHNESS, True),
        (cc("max-age=0"), Reason.NO_FRESHNESS, True),
        (cc("max-age=3600", Age="7200"), Reason.NO_FRESHNESS, True),
        (cc("no-cache, max-age=60"), Reason.NO_CACHE, True),
        (cc(FRESH, CDN_Cache_Control="no-cache"), Reason.NO_CACHE, True),
        (cc(FRESH, Content_Length=str(2**40)), Reason.TOO_LARGE, True),
        (cc(FRESH, X="x" * 70_000), Reason.HEAD_TOO_LARGE, True),
        (cc(FRESH, Surrogate_Key="k " * 8200), Reason.TAGS_TOO_LARGE, True),
    ],
)
def test_not_stored(fields: Pairs, reason: Reason, remember: bool) -> None:
    assert settled(fields) == PassOn(reason, remember)


@pytest.mark.parametrize(
    "fields",
    [
        cc(FRESH),
        cc(FRESH, Vary="Foo"),
        cc("max-age=0", ETag='"a"'),
        cc("no-cache", ETag='"a"'),
        cc("no-cache", Last_Modified=date(-100)),
        cc('no-cache="a"', ETag='"a"'),
        cc('private="x-user", max-age=60'),
        cc("no-store", CDN_Cache_Control="max-age=60"),
        cc("no-store", Surrogate_Control="max-age=60"),
        cc("max-age=60, no-store, must-understand"),
        cc("max-age=0, stale-while-revalidate=60"),
        cc("max-age=0, stale-if-error=60"),
        {"ETag": '"a"'},
        {"Expires": date(-5000), "Last-Modified": date(-100_000), "Date": date()},
        cc(FRESH, Set_Cookie="a=b", CDN_Cache_Control="max-age=60"),
        cc("public, max-age=60", Set_Cookie="a=b"),
        cc("s-maxage=60", Set_Cookie="a=b"),
        cc('private="set-cookie", max-age=60', Set_Cookie="a=b"),
    ],
)
def test_stored(fields: Pairs) -> None:
    assert isinstance(settled(fields), Store)


@pytest.mark.parametrize(
    ("request_fields", "fields", "reason"),
    [
        ({"Authorization": "x"}, cc(FRESH), Reason.AUTHORIZATION),
        ({"Authorization": "x"}, cc(FRESH, CDN_Cache_Control="max-age=60"), Reason.AUTHORIZATION),
        ({"Authorization": "x"}, cc("proxy-revalidate, max-age=60"), Reason.AUTHORIZATION),
        ({"Authorization": "x"}, cc("public, max-age=60"), None),
        ({"Authorization": "x"}, cc("must-revalidate, max-age=60"), None),
        ({"Authorization": "x"}, cc("s-maxage=60"), None),
        ({"Cache-Control": "no-store"}, cc(FRESH), Reason.REQUEST_NO_STORE),
        ({"Cookie": "a=b"}, {"Last-Modified": date(-1000), "Date": date()}, Reason.COOKIE),
        ({"Cookie": "a=b"}, {"ETag": '"a"'}, Reason.COOKIE),
        ({"Cookie": "a=b"}, cc(FRESH), None),
        ({"Cookie": "a=b"}, cc("no-cache", ETag='"a"'), None),
        ({"Content-Length": "3"}, cc(FRESH), Reason.REQUEST_BODY),
        ({"Transfer-Encoding": "chunked"}, cc(FRESH), Reason.REQUEST_BODY),
        ({"Content-Length": "0"}, cc(FRESH), None),
        ({"Connection": "upgrade", "Upgrade": "websocket"}, cc(FRESH), Reason.UPGRADE),
    ],
)
def test_the_request_has_a_say_and_is_not_remembered(
    request_fields: Pairs, fields: Pairs, reason: Reason | None
) -> None:
    settlement = settled(fields, request=get(request_fields))
    if reason is None:
        assert isinstance(settlement, Store)
    else:
        assert settlement == PassOn(reason, False)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "QUERY", "M-SEARCH"])
def test_only_get_and_some_posts_are_stored(method: str) -> None:
    assert settled(cc(FRESH), request=get(method=method)) == PassOn(Reason.METHOD, False)


@pytest.mark.parametrize(
    ("policy", "control", "stored_cookie"),
    [
        (SetCookie.STORE, FRESH, "a=b"),
        (SetCookie.STRIP, FRESH, None),
        (SetCookie.PASS, "public, max-age=60", False),
        (SetCookie.EXPLICIT, "public, max-age=60", "a=b"),
        (SetCookie.EXPLICIT, FRESH, False),
    ],
)
def test_set_cookie_as_the_route_says(policy: SetCookie, control: str, stored_cookie: str | bool | None) -> None:
    settlement = settled(cc(control, Set_Cookie="a=b"), rules=Rules(set_cookie=policy))
    if stored_cookie is False:
        assert settlement == PassOn(Reason.SET_COOKIE, True)
    else:
        assert isinstance(settlement, Store)
        assert settlement.entry.headers.get("set-cookie") == stored_cookie


def test_route_ttl_is_no_way_around_a_veto() -> None:
    rules = Rules(ttl=60)
    for fields, reason in (
        (cc("no-store"), Reason.NO_STORE),
        (cc("private"), Reason.PRIVATE),
        (cc(FRESH, Set_Cookie="a=b"), Reason.SET_COOKIE),
        (cc(FRESH, Vary="*"), Reason.VARY_STAR),
    ):
        assert settled(fields, rules=rules) == PassOn(reason, True)
    entry = stored(cc("no-cache, max-age=0"), rules=rules)
    assert (entry.no_cache, entry.fresh_until) == (False, NOW + 60)


def test_not_delimited() -> None:
    assert settled(cc(FRESH), delimited=False) == PassOn(Reason.NOT_DELIMITED, True)


def test_variants_without_end_are_not_stored() -> None:
    def variant(name: str) -> RequestHead:
        return get({"Foo": name})

    rules = Rules(max_variants=2)
    held = tuple(stored(cc(FRESH, Vary="Foo"), request=variant(name)) for name in "ab")
    assert settled(cc(FRESH, Vary="Foo"), request=variant("c"), candidates=held, rules=rules) == PassOn(
        Reason.TOO_MANY_VARIANTS, False
    )
    again = settled(cc(FRESH, Vary="Foo"), request=variant("a"), candidates=held, rules=rules)
    assert isinstance(again, Store)


def test_what_is_kept_of_the_fields() -> None:
    entry = stored(
        {
            "Cache-Control": 'max-age=60, private="x-user"',
            "Connection": "a, b",
            "a": "1",
            "b": "2",
            "c": "3",
            "Age": "10",
            "X-User": "me",
            "Keep-Alive": "x",
            "Proxy-Authenticate": "x",
            "Proxy-Authentication-Info": "x",
            "Upgrade": "x",
            "Content-Range": "odd, but this is a 200",
            "Content-Foo": "1",
            "Clear-Site-Data": "cache",
        }
    )
    assert sorted(entry.headers) == sorted(
        ["Cache-Control", "c", "Content-Range", "Content-Foo", "Clear-Site-Data", "Date"]
    )
    assert entry.headers["date"] == date()
    assert stored({"Cache-Control": FRESH, "Date": date(-5)}).headers["date"] == date(-5)


def test_tags_and_selecting_fields_are_part_of_the_entry() -> None:
    entry = stored(
        cc(FRESH, Vary="Foo, accept-encoding", Surrogate_Key="a b", Cache_Tag="c"),
        request=get({"Foo": " 1,2 "}),
        rules=Rules(tags=("static",)),
    )
    assert entry.varied == (("accept-encoding", None), ("foo", "1, 2"))
    assert entry.tags == ("a", "b", "c", "static")
    assert stored(cc(FRESH), rules=DEFAULT).tags == ()


@pytest.mark.parametrize(
    ("location", "fields", "is_stored"),
    [
        ("http://example.test/a", cc(FRESH), True),
        ("/a", {"Expires": date(60), "Date": date()}, True),
        ("", cc(FRESH), True),
        ("/b", cc(FRESH), False),
        ("http://other.test/a", cc(FRESH), False),
        ("/a", {"Last-Modified": date(-10_000), "Date": date()}, False),
        ("/a", cc("no-store, max-age=60"), False),
        (None, cc(FRESH), False),
    ],
)
def test_post_with_its_own_content_location_answers_gets(
    location: str | None, fields: dict[str, str], is_stored: bool
) -> None:
    if location is not None:
        fields = {**fields, "Content-Location": location}
    settlement = settled(fields, request=get(method="POST"))
    if is_stored:
        assert isinstance(settlement, Store)
        assert settlement.entry.method == "GET"
    else:
        assert isinstance(settlement, PassOn)
        assert not settlement.remember


def test_the_instants_of_an_entry_are_those_that_were_computed() -> None:
    """entry_of() hands them over by place."""
    assert Instants._fields == ("born_at", "fresh_until", "swr_until", "sie_until", "unreachable_until")
    rules = Rules(stale_while_revalidate=1, stale_if_error=20, stale_if_unreachable=300)
    entry = stored(cc("max-age=60", Age="7"), rules=rules)
    assert (entry.requested_at, entry.stored_at) == (NOW, NOW)
    fresh_until = NOW - 7 + 60
    assert (entry.born_at, entry.fresh_until) == (NOW - 7, fresh_until)
    assert (entry.swr_until, entry.sie_until, entry.unreachable_until) == (
        fresh_until + 1,
        fresh_until + 20,
        fresh_until + 20,
    )


@pytest.mark.parametrize("odd", ["plain", "\r\n", "\u20ac"], ids=["octets", "a map", "another map"])
def test_a_head_may_be_as_large_as_the_rules_say_and_no_larger(odd: str) -> None:
    fields = cc(FRESH, Date=date(), X_Foo=odd)
    size = head_bytes(stored(fields).headers)
    assert isinstance(settled(fields, rules=Rules(max_head_bytes=size)), Store)
    assert settled(fields, rules=Rules(max_head_bytes=size - 1)) == PassOn(Reason.HEAD_TOO_LARGE, True)


def test_one_value_under_several_rules_and_in_several_fields() -> None:
    """What was read once is the same for all routes; what follows from it is not."""
    value = "max-age=60, stale-if-error=5"
    for _ in range(2):
        plain = stored(cc(value))
        assert (plain.fresh_until, plain.sie_until, plain.no_cache) == (NOW + 60, NOW + 65, False)
        routed = stored(cc(value), rules=Rules(ttl=5, stale_while_revalidate=9))
        assert (routed.fresh_until, routed.swr_until) == (NOW + 5, NOW + 14)
        assert stored(cc("no-store", CDN_Cache_Control=value)).fresh_until == NOW + 60
        assert stored(cc(value, Surrogate_Control="max-age=7")).fresh_until == NOW + 7
        assert settled(cc(value, Set_Cookie="a=b")) == PassOn(Reason.SET_COOKIE, True)
        stripped = stored(cc(value, Set_Cookie="a=b"), rules=Rules(set_cookie=SetCookie.STRIP))
        assert "set-cookie" not in stripped.headers
        assert "set-cookie" in stored(cc(value, Set_Cookie="a=b"), rules=Rules(set_cookie=SetCookie.STORE)).headers
        # Valid as one field and to be ignored as the other.
        mistyped = "max-age=?0, s-maxage=60"
        assert stored(cc(mistyped, CDN_Cache_Control=mistyped)).fresh_until == NOW + 60


def test_a_reason_is_remembered_or_not_by_the_status_that_came_with_it() -> None:
    for _ in range(2):
        assert settled(cc("no-store")) == PassOn(Reason.NO_STORE, True)
        assert settled(cc("no-store"), status=503) == PassOn(Reason.NO_STORE, False)
        assert settled(cc("no-cache")) == PassOn(Reason.NO_CACHE, True)
        assert settled(cc("no-cache"), status=404) == PassOn(Reason.NO_CACHE, False)
