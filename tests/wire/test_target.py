"""One authority and one origin-form a request, for key and forwarding alike (RFC 9112 3.2, HAZARDS T30-T32, T36)."""

from __future__ import annotations

import pytest

from seawall.http.message import RequestHead
from seawall.http.target import canonical_authority
from seawall.http.wire import Bad, parse_request_head


def ask(line: str, *hosts: str, scheme: str = "http") -> RequestHead | Bad:
    lines = [line, *(f"Host: {host}" for host in hosts), "", ""]
    return parse_request_head("\r\n".join(lines).encode("latin-1"), scheme)


@pytest.mark.parametrize(
    ("text", "scheme", "canonical"),
    [
        ("a", "http", "a"),
        ("A.Example", "http", "a.example"),
        ("a:80", "http", "a"),
        ("a:443", "https", "a"),
        ("a:443", "http", "a:443"),
        ("a:80", "https", "a:80"),
        ("a:8080", "http", "a:8080"),
        ("a:", "http", "a"),
        ("a.", "http", "a"),
        ("a.:80", "http", "a"),
        ("my_host-1.b~", "http", "my_host-1.b~"),
        ("127.0.0.1:3000", "http", "127.0.0.1:3000"),
        ("[::1]", "http", "[::1]"),
        ("[::1]:80", "http", "[::1]"),
        ("[0:0:0:0:0:0:0:1]:8080", "http", "[::1]:8080"),
        ("[2001:DB8::A]", "http", "[2001:db8::a]"),
    ],
)
def test_an_authority_has_one_spelling(text: str, scheme: str, canonical: str) -> None:
    assert canonical_authority(text, scheme) == canonical
    head = ask("GET / HTTP/1.1", text, scheme=scheme)
    assert isinstance(head, RequestHead)
    assert head.authority == head.headers["host"] == canonical


BAD_HOSTS = [
    "", "a, b", "a,b", "a/b", "a b", "a\tb", "user@a", "user:pw@a", "a:b", "a:0", "a:080", "a:65536", "a:123456",
    "a:80:80", "a..", ".", ".a", "a..b", "a?b", "a#b", "a%41", "caf\xe9", "a\\b", "a;b", "'a'", "::1", "[::1", "::1]",
    "[]", "[::1%eth0]", "[v1.a]", "[1.2.3.4]", "[::1]x", "[:::]", "http://a", "*", "a" * 300,
    "\u0130".encode().decode("latin-1"),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_HOSTS)
def test_a_bad_host_is_refused_wherever_it_stands(text: str) -> None:
    assert canonical_authority(text, "http") is None
    for line, *hosts in (
        ("GET / HTTP/1.1", text),
        ("GET / HTTP/1.0", text),
        ("GET http://good/ HTTP/1.1", text),
    ):
        got = ask(line, *hosts)
        assert isinstance(got, Bad), line
        assert got.status == 400


def test_two_hosts_are_refused_even_if_they_agree() -> None:
    for line in ("GET / HTTP/1.1", "GET / HTTP/1.0", "GET http://a/ HTTP/1.1"):
        assert ask(line, "a", "a") == Bad(400, "more than one Host")
        assert ask(line, "a", "b") == Bad(400, "more than one Host")


def test_http_1_1_needs_a_host_and_1_0_a_host_or_an_absolute_form() -> None:
    assert isinstance(ask("GET / HTTP/1.1"), Bad)
    assert isinstance(ask("GET http://a/ HTTP/1.1"), Bad)
    assert isinstance(ask("GET / HTTP/1.0"), Bad)
    head = ask("GET http://a/x HTTP/1.0")
    assert isinstance(head, RequestHead)
    assert (head.authority, head.target, head.minor) == ("a", "/x", 0)


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("GET http://b/x HTTP/1.1", "/x"),
        ("GET HTTP://B:80/x?y HTTP/1.1", "/x?y"),
        ("GET http://b HTTP/1.1", "/"),
        ("GET http://b? HTTP/1.1", "/?"),
        ("GET http://b?x HTTP/1.1", "/?x"),
        ("OPTIONS http://b HTTP/1.1", "*"),
        ("OPTIONS http://b/ HTTP/1.1", "/"),
        ("GET http://b//../%2e/x HTTP/1.1", "//../%2e/x"),
    ],
)
def test_the_authority_of_an_absolute_form_replaces_host(line: str, target: str) -> None:
    head = ask(line, "a")
    assert isinstance(head, RequestHead)
    assert (head.authority, head.target, head.headers.getall("host")) == ("b", target, ["b"])
    assert head.url == f"http://b{target}"


@pytest.mark.parametrize(
    "target",
    [
        "https://a/", "ftp://a/", "http:///x", "http://u@a/", "http://a,b/", "http:/a", "http:a", "a:80", "a", "a/b",
        "?x", "*", "**", "http://a:x/", "http://a\\b/", "//", "/ok",
    ],
)  # fmt: skip
def test_other_forms_are_refused(target: str) -> None:
    got = ask(f"GET {target} HTTP/1.1", "a")
    if target.startswith("/"):
        assert isinstance(got, RequestHead)
        assert got.target == target
    else:
        assert isinstance(got, Bad)
        assert got.status == 400


def test_a_target_of_https_is_for_a_connection_of_https() -> None:
    assert isinstance(ask("GET https://a/ HTTP/1.1", "a", scheme="https"), RequestHead)
    assert isinstance(ask("GET http://a/ HTTP/1.1", "a", scheme="https"), Bad)


def test_asterisk_is_for_options_and_connect_for_nobody() -> None:
    head = ask("OPTIONS * HTTP/1.1", "a")
    assert isinstance(head, RequestHead)
    assert head.target == "*"
    for target in ("a:80", "/", "http://a/", "*"):
        got = ask(f"CONNECT {target} HTTP/1.1", "a")
        assert isinstance(got, Bad)
        assert got.status == 501


@pytest.mark.parametrize(
    "target", ["/%41", "//", "/./", "/a/../b", "/%2F%2e", "/?", "/??", "/;x", "/a%3Fx=1", "/%C3%A9"]
)
def test_an_origin_form_is_never_touched(target: str) -> None:
    head = ask(f"GET {target} HTTP/1.1", "a")
    assert isinstance(head, RequestHead)
    assert head.target == target
