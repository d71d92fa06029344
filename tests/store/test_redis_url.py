"""What a Redis URL means, and what is said of one that means nothing."""

from __future__ import annotations

import pytest

from seawall.store.redislevel import open_redis
from seawall.store.redisurl import Address, Kind, Place, parse_redis_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h", Place(Kind.SERVER, (Address("h", 6379),))),
        ("redis://h:1/", Place(Kind.SERVER, (Address("h", 1),))),
        ("redis://127.0.0.1:6380/3", Place(Kind.SERVER, (Address("127.0.0.1", 6380),), 3)),
        ("redis://[::1]:6380/3", Place(Kind.SERVER, (Address("::1", 6380),), 3)),
        ("redis://:p%40ss@h", Place(Kind.SERVER, (Address("h", 6379),), password="p@ss")),
        ("redis://u:p:q@h", Place(Kind.SERVER, (Address("h", 6379),), user="u", password="p:q")),
        ("rediss://h", Place(Kind.SERVER, (Address("h", 6379),), tls=True)),
        (
            "rediss://h/1?ssl_ca_certs=/etc/ca.pem",
            Place(Kind.SERVER, (Address("h", 6379),), 1, tls=True, tls_files=(("ssl_ca_certs", "/etc/ca.pem"),)),
        ),
        (
            "redis+sentinel://a,b:1,[::2]/cache/2",
            Place(Kind.SENTINEL, (Address("a", 26379), Address("b", 1), Address("::2", 26379)), 2, "cache"),
        ),
        ("redis+sentinel://a/cache", Place(Kind.SENTINEL, (Address("a", 26379),), service="cache")),
        ("redis+cluster://a,b:1", Place(Kind.CLUSTER, (Address("a", 6379), Address("b", 1)))),
        ("rediss+cluster://u:p@a/0", Place(Kind.CLUSTER, (Address("a", 6379),), tls=True, user="u", password="p")),
    ],
)
def test_a_url_means_a_place(url: str, place: Place) -> None:
    assert parse_redis_url(url) == place


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "no Redis URL"),
        ("http://h", "no Redis URL"),
        ("redis:h", "no Redis URL"),
        ("redis://", "no Redis URL"),
        ("redis+ring://h", "no Redis URL"),
        ("redis://h#x", "no Redis URL"),
        ("redis://h:0", "a port is"),
        ("redis://h:65536", "a port is"),
        ("redis://h:x", "a host is"),
        ("redis://h,", "a host is"),
        ("redis://::1", "a host is"),
        ("redis://h h", "a host is"),
        ("redis://a,b", "several hosts"),
        ("redis://h/x", "the database"),
        ("redis://h/1/2", "the database"),
        ("redis+sentinel://h", "a service"),
        ("redis+sentinel://h/s/x", "the database"),
        ("redis+cluster://h/1", "database 0 only"),
        ("redis://secret@h", "user:password@"),
        ("redis://h?db=1", "only ssl_ca_certs"),
        ("rediss://h?ssl_cert_reqs=none", "only ssl_ca_certs"),
        ("rediss://h?x", "name=value"),
        ("redis://h?ssl_ca_certs=x", "rediss://"),
    ],
)
async def test_what_is_wrong_with_a_url_is_said(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        await open_redis(url, now=lambda: 0.0)


@pytest.mark.parametrize("namespace", ["", "a:b", "{a}", "a b", "a" * 65, "a*"])
async def test_a_namespace_is_a_word(namespace: str) -> None:
    with pytest.raises(ValueError, match="a namespace is"):
        await open_redis("redis://h", namespace=namespace, now=lambda: 0.0)


@pytest.mark.parametrize(
    "url", ["redis://u:hunter2@h:0", "redis://hunter2@h", "redis://u:hunter2@h/x", "redis://:hunter2@"]
)
def test_no_password_is_told(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_redis_url(url)
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(parse_redis_url("redis://u:hunter2@h"))
