"""Addresses are read in one way or not at all."""

from __future__ import annotations

import pytest

from seawall.config.address import Address, NotAnAddress, OriginUrl, address, origin_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:8080", Address("::1", 8080)),
        ("[0:0:0:0:0:0:0:1]:1", Address("::1", 1)),
        ("LocalHost:0", Address("localhost", 0)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ("cache-1.internal:65535", Address("cache-1.internal", 65535)),
    ],
)
def test_a_listen_address_is_host_and_port(text: str, expected: Address) -> None:
    assert address(text) == expected
    assert address(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8080", "127.0.0.1:8080"),
        (":8080", r"0\.0\.0\.0:8080"),
        ("*:80", r"0\.0\.0\.0:80"),
        ("::1:80", "brackets"),
        ("[127.0.0.1]:80", "brackets"),
        ("127.0.0.1", "port is missing"),
        ("127.0.0.1:65536", "65535"),
        ("127.0.0.1:-1", "65535"),
        ("127.0.0.1:٨", "65535"),
        ("127.1:80", "four decimal parts"),
        ("a b:80", ""),
        ("-a:80", ""),
        ("bücher.example:80", "ASCII"),
    ],
)
def test_what_is_no_address_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(NotAnAddress, match=hint or None):
        address(text)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "[::]:80", True),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_addresses_clash_when_one_machine_cannot_have_both(one: str, other: str, clash: bool) -> None:
    assert address(one).clashes(address(other)) is clash
    assert address(other).clashes(address(one)) is clash


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("example.org:1", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(text: str, loopback: bool) -> None:
    assert address(text).loopback is loopback


@pytest.mark.parametrize(
    ("text", "expected", "authority"),
    [
        ("http://127.0.0.1:3000", OriginUrl("http", "127.0.0.1", 3000), "127.0.0.1:3000"),
        ("http://App.Example/", OriginUrl("http", "app.example", 80), "app.example"),
        ("https://app.example", OriginUrl("https", "app.example", 443), "app.example"),
        ("HTTPS://app.example:80", OriginUrl("https", "app.example", 80), "app.example:80"),
        ("http://[::1]:3000", OriginUrl("http", "::1", 3000), "[::1]:3000"),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, expected: OriginUrl, authority: str) -> None:
    assert origin_url(text) == expected
    assert expected.authority == authority
    assert origin_url(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1:3000", "ftp://a", "http://", "http://a:b", "http://a:99999", "http://a:0", "http://a:"),
        *("http://u:p@a", "http://a/path", "http://a?x", "http://a/?", "http://a#f", "http://a b", "http://a\\b"),
        *("http://[::1", "http://[a]", "http://a\n", "http://bücher.example", "http://0x7f000001", "http://a_/../"),
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(NotAnAddress):
        origin_url(text)
