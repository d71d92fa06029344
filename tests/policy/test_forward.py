"""What of a client's request goes forward (RFC 9110 7.6, RFC 8586, RFC 7239; HAZARDS T09-T11, T33, T39, T63, T70)."""

from __future__ import annotations

import pytest

from seawall.http.headers import headers
from seawall.http.message import RequestHead
from seawall.policy.forward import asks_to_upgrade, forward_head, loops
from tests.policy.heads import Pairs, get


def forwarded(
    fields: Pairs | None = None,
    *,
    method: str = "GET",
    conditions: bool = False,
    ranges: bool = False,
    upgrade: bool = False,
    trusted: bool = False,
    peer: str = "192.0.2.1",
    extra: dict[str, str] | None = None,
) -> dict[str, str]:
    head = forward_head(
        get(fields, method=method),
        peer=peer,
        node="node-1",
        keep_conditions=conditions,
        keep_range=ranges,
        extra=headers((extra or {}).items()),
        upgrade=upgrade,
        trusted=trusted,
    )
    assert (head.method, head.url) == (method, "http://example.test/a")
    names = [name.lower() for name in head.headers]
    assert len(names) == len(set(names)), "one line each, or the origin may read another than we set"
    return {name.lower(): value for name, value in head.headers.items()}


def test_what_we_say_ourselves() -> None:
    assert forwarded() == {
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "example.test",
        "x-forwarded-port": "80",
        "forwarded": "for=192.0.2.1;host=example.test;proto=http",
        "via": "1.1 node-1",
        "cdn-loop": "node-1",
    }


def test_ports_and_ipv6_are_written_as_rfc_7239_has_them() -> None:
    request = RequestHead("GET", "https", "[::1]:8443", "/")
    head = forward_head(request, peer="2001:db8::1", node="n", keep_conditions=False, keep_range=False)
    assert head.headers["forwarded"] == 'for="[2001:db8::1]";host="[::1]:8443";proto=https'
    assert head.headers["x-forwarded-port"] == "8443"
    bare = RequestHead("GET", "https", "[::1]", "/")
    head = forward_head(bare, peer="::1", node="n", keep_conditions=False, keep_range=False)
    assert head.headers["x-forwarded-port"] == "443"


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Scheme",
        "X-Forwarded-Server",
        "X-Forwarded-Prefix",
        "Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Real-IP",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "Surrogate-Capability",
        "Expect",
        "Proxy",
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Upgrade",
        "Transfer-Encoding",
        "If-None-Match",
        "Range",
        "If-Range",
    ],
)
def test_a_client_is_not_believed(name: str) -> None:
    assert "evil" not in "".join(forwarded({name: "evil"}).values())
    assert "evil" not in "".join(forwarded({name.upper(): "evil"}).values())


def test_method_overrides_are_left_to_methods_that_may_mean_them() -> None:
    assert forwarded({"X-HTTP-Method-Override": "PUT"}, method="POST")["x-http-method-override"] == "PUT"


def test_a_node_of_ours_is_believed() -> None:
    fields = {
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.test",
        "Forwarded": "for=198.51.100.7",
    }
    seen = forwarded(fields, trusted=True)
    assert seen["x-forwarded-for"] == "198.51.100.7, 192.0.2.1"
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "shop.test")
    assert seen["forwarded"] == "for=198.51.100.7, for=192.0.2.1;host=example.test;proto=http"


def test_preconditions_and_ranges_go_where_they_are_meant_to() -> None:
    fields = {
        "If-None-Match": '"a"',
        "If-Modified-Since": "x",
        "If-Match": "*",
        "Range": "bytes=0-1",
        "If-Range": '"a"',
    }
    assert {"if-none-match", "if-match", "range"}.isdisjoint(forwarded(fields))
    assert {"if-none-match", "if-modified-since", "if-match"} <= set(forwarded(fields, conditions=True))
    ranged = forwarded(fields, ranges=True)
    assert (ranged["range"], ranged["if-range"]) == ("bytes=0-1", '"a"')
    assert "if-none-match" not in ranged


def test_our_conditions_replace_the_clients() -> None:
    seen = forwarded({"if-none-match": '"theirs"'}, conditions=True, extra={"If-None-Match": '"ours"'})
    assert seen["if-none-match"] == '"ours"'


def test_what_is_asked_goes_as_it_is() -> None:
    fields = {"Accept-Encoding": "gzip;q=0.5, *", "Cookie": "a=b", "Authorization": "x", "Cache-Control": "no-cache"}
    seen = forwarded(fields)
    assert {name.lower(): value for name, value in fields.items()}.items() <= seen.items()


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Cookie",
        "Cache-Control",
        "Accept-Encoding",
        "Content-Length",
        "Content-Type",
        "CDN-Loop",
        "Via",
        "X-Forwarded-For",
        "Host",
    ],
)
def test_connection_deletes_nothing_that_counts(name: str) -> None:
    assert name.lower() in forwarded({name: "1", "Connection": f"close, {name}"})


def test_connection_deletes_what_is_for_this_hop() -> None:
    assert "x-hop" not in forwarded({"X-Hop": "1", "Connection": "X-Hop"})


def test_upgrade_goes_forward_on_a_pass_only() -> None:
    fields = {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}
    assert "upgrade" not in forwarded(fields)
    seen = forwarded(fields, upgrade=True)
    assert (seen["upgrade"], seen["connection"]) == ("websocket", "Upgrade")
    assert "upgrade" not in forwarded({"Upgrade": "websocket"}, upgrade=True)
    assert asks_to_upgrade(get(fields))
    assert not asks_to_upgrade(get({"Upgrade": "websocket"}))


def test_the_way_so_far_is_kept() -> None:
    seen = forwarded([("Via", "1.0 a"), ("Via", "1.1 b"), ("CDN-Loop", "other; x=1")])
    assert seen["via"] == "1.0 a, 1.1 b, 1.1 node-1"
    assert seen["cdn-loop"] == "other; x=1, node-1"


@pytest.mark.parametrize(
    ("value", "found"),
    [("node-1", True), ("a, Node-1 ; q=1", True), ("node-10, x-node-1", False), ("", False), (None, False)],
)
def test_loops(value: str | None, found: bool) -> None:
    assert loops(get({} if value is None else {"CDN-Loop": value}), "node-1") is found


def test_what_we_send_we_recognise() -> None:
    once = forward_head(get(), peer="x", node="my node", keep_conditions=False, keep_range=False)
    assert loops(once, "my-node")
    assert loops(once, "my node")


def test_what_one_request_takes_along_says_nothing_of_the_next() -> None:
    fields = {
        "If-None-Match": '"a"',
        "Range": "bytes=0-4",
        "X-HTTP-Method-Override": "DELETE",
        "Forwarded": "for=198.51.100.1",
        "Connection": "X-Foo, Forwarded",
        "X-Foo": "1",
    }
    for _ in range(2):
        bare = forwarded(fields)
        assert {"if-none-match", "range", "x-http-method-override", "x-foo"}.isdisjoint(bare)
        assert bare["forwarded"] == "for=192.0.2.1;host=example.test;proto=http"
        assert "if-none-match" in forwarded(fields, conditions=True)
        assert "range" in forwarded(fields, ranges=True)
        assert "x-http-method-override" in forwarded(fields, method="POST")
        both = "for=198.51.100.1, for=192.0.2.1;host=example.test;proto=http"
        assert forwarded(fields, trusted=True)["forwarded"] == both
        assert forwarded({"X-Foo": "1"})["x-foo"] == "1"
        assert forwarded({"X-Foo": "1"}, extra={"X-FOO": "ours"})["x-foo"] == "ours"
