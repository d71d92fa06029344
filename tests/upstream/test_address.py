import pytest

from seawall.upstream.address import Address


@pytest.mark.parametrize(
    ("url", "address", "authority"),
    [
        ("http://app", Address("http", "app", 80), "app"),
        ("http://app/", Address("http", "app", 80), "app"),
        ("https://app", Address("https", "app", 443), "app"),
        ("http://App:3000", Address("http", "app", 3000), "app:3000"),
        ("http://app:443", Address("http", "app", 443), "app:443"),
        ("http://[::1]:8080", Address("http", "::1", 8080), "[::1]:8080"),
        ("https://[::1]", Address("https", "::1", 443), "[::1]"),
    ],
)
def test_an_address_is_scheme_host_and_port(url: str, address: Address, authority: str) -> None:
    assert Address.parse(url) == address
    assert address.authority == authority
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        "app:3000",
        "ftp://app",
        "http://",
        "http://:80",
        "http://app:0",
        "http://app:99999",
        "http://app:x",
        "http://app/v1",
        "http://app?x",
        "http://app#x",
        "http://user@app",
        "",
    ],
)
def test_what_would_be_dropped_silently_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(url)
