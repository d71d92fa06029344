"""Access logs of many makes are read, and no line of any file can end the reading."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.warmlog import MAX_LINE_BYTES, Logged, NotALog, count, is_wanted, read, url_of
from seawall.telemetry.accesslog import Combined, Json, Record

TIME = "[10/Oct/2026:13:55:36 -0700]"
RECORD = Record(1.8e9, "192.0.2.1", "GET", "http", "a.example", "/x?y=1", 1, 200, 10, 0.1, "HIT", user_agent="curl")


def url(line: str | bytes, host: str = "default.example", scheme: str = "http") -> str | None:
    logged = read(line if isinstance(line, bytes) else line.encode())
    return url_of(logged, host, scheme) if logged is not None and is_wanted(logged) else None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f'192.0.2.1 - - {TIME} "GET /a?b=c HTTP/1.1" 200 512', "http://default.example/a?b=c"),
        (f'192.0.2.1 - frank {TIME} "GET /a HTTP/1.0" 304 - "-" "Mozilla/5.0 (X11)" 0.001', "http://default.example/a"),
        (f'2001:db8::1 - - {TIME} "GET /a HTTP/2.0" 200 5 "https://a/?"GET" "x"', "http://default.example/a"),
        (f'192.0.2.1 - - {TIME} "GET /a" 200 5', "http://default.example/a"),
        (f'192.0.2.1 - a b {TIME} "GET /a HTTP/1.1" 200 5', "http://default.example/a"),
        (f'shop.example:443 192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 5', "https://shop.example/a"),
        (f'shop.example:80 192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 5', "http://shop.example/a"),
        (f'shop.example:8080 192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 5', "http://shop.example:8080/a"),
        (f'Shop.example 192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 200 5', "http://shop.example/a"),
        (f'192.0.2.1 - - {TIME} "GET http://a.example:80/x HTTP/1.1" 200 5', "http://a.example/x"),
        (f'192.0.2.1 - - {TIME} "GET /?u=http://b.example/ HTTP/1.1" 200 5', "http://default.example/?u=http://b.example/"),
        (f'192.0.2.1 - - {TIME} "POST /a HTTP/1.1" 200 5', None),
        (f'192.0.2.1 - - {TIME} "HEAD /a HTTP/1.1" 200 5', None),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 404 5', None),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 503 5', None),
        (f'192.0.2.1 - - {TIME} "GET /a HTTP/1.1" 2000 5', None),
        (f'192.0.2.1 - - {TIME} "GET /a\\x22b HTTP/1.1" 200 5', None),
        (f'192.0.2.1 - - {TIME} "GET /ä HTTP/1.1" 200 5', None),
        (f'192.0.2.1 - - {TIME} "GET * HTTP/1.1" 200 5', None),
        (f'192.0.2.1 - - {TIME} "-" 400 0', None),
        (f'192.0.2.1 - - {TIME} "\\x16\\x03\\x01" 400 0', None),
        ('{"method":"GET","url":"http://a.example/x","status":200}', "http://a.example/x"),
        ('{"method":"GET","url":"http://a.example/x","status":200,"outcome":"HIT"}', "http://a.example/x"),
        ('{"method":"GET","url":"http://a.example/x","status":200,"outcome":"PASS"}', None),
        ('{"method":"POST","url":"http://a.example/x","status":200}', None),
        ('{"request":"GET /a HTTP/1.1","status":"200","host":"shop.example"}', "http://shop.example/a"),
        ('{"request_method":"GET","request_uri":"/a","status":200,"http_host":"b.example","scheme":"https"}', "https://b.example/a"),
        ('{"request":{"method":"GET","host":"c.example","uri":"/a?b"},"status":200}', "http://c.example/a?b"),
        ('{"RequestMethod":"GET","RequestPath":"/a","RequestHost":"t.example","DownstreamStatus":200}', "http://t.example/a"),
        ('{"method":"GET","path":"/a","response_code":200,"authority":"e.example"}', "http://e.example/a"),
        ('{"method":"GET","path":"/a","status":200,"host":"-"}', "http://default.example/a"),
        ('{"method":"GET","status":200}', None),
        ('{"method":"GET","path":"/a","status":"fine"}', None),
        ('{"method":7,"path":["/a"],"status":200}', None),
        ('{"method":"GET","path":"/a","status":200', None),
        ("[1]", None),
        ("", None),
    ],
)  # fmt: skip
def test_what_a_line_says(line: str, expected: str | None) -> None:
    assert url(line) == expected


@pytest.mark.parametrize("formatter", [Combined(), Json("edge-1")])
def test_our_own_logs_name_the_whole_url(formatter: Combined | Json) -> None:
    assert url(formatter(RECORD), host="") == "http://a.example/x?y=1"
    assert url(formatter(RECORD._replace(method="POST"))) is None
    assert url(formatter(RECORD._replace(status=502))) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = ["method", "request", "status", "url", "uri", "host", "scheme", "request_method", "DownstreamStatus", "outcome"]
OBJECTS = st.dictionaries(
    st.sampled_from(NAMES) | st.text(), JSON | st.sampled_from(["GET", 200, "/", "GET / HTTP/1.1"])
)
PIECES = st.sampled_from(
    ["GET", "/", "http://a/", '"', "] ", "[", " 200 ", "HTTP/1.1", "-", "\\", "{", "}", "a:80", "\n"]
)
LINES = st.one_of(
    st.binary(),
    st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
    OBJECTS.map(lambda said: json.dumps(said).encode()),
    st.lists(PIECES | st.text(max_size=3)).map(lambda pieces: " ".join(pieces).encode("utf-8", "surrogatepass")),
    st.builds(
        lambda before, target, after: f'{before} [x] "GET {target} HTTP/1.1" 200{after}'.encode("utf-8", "replace"),
        st.text(),
        st.text(),
        st.text(),
    ),
)


@given(LINES, st.sampled_from(["", "a.example"]))
def test_no_line_raises_and_what_is_found_can_be_requested(line: bytes, host: str) -> None:
    logged = read(line)
    if logged is not None:
        assert isinstance(logged, Logged)
        found = url_of(logged, host, "http")
        assert found is None or (found.isascii() and found.startswith(("http://", "https://")))


@pytest.mark.parametrize(
    "line", [b'{"a":' * 100_000, b"[" * 100_000, b'] "' * 20_000, b"\xff" * 1000, b'{"status":' + b"9" * 5000 + b"}"]
)
def test_hostile_lines_cost_little_and_say_nothing(line: bytes) -> None:
    assert read(line) is None


def line_of(target: str) -> str:
    return f'192.0.2.1 - - {TIME} "GET {target} HTTP/1.1" 200 5\n'


def test_requests_are_counted_by_url(tmp_path: Path) -> None:
    log = tmp_path / "log"
    warmed = Combined()(RECORD._replace(user_agent="seawall-warm")).decode()
    log.write_text(line_of("/a") * 3 + line_of("/b") + "nonsense\n" + line_of("http://c.example/") * 2 + warmed * 9)
    counted = count(str(log), host="a.example")
    assert counted.popularity.top(9) == [("http://a.example/a", 3), ("http://c.example/", 2), ("http://a.example/b", 1)]
    assert (counted.lines, counted.understood, counted.without_host) == (16, 6, 0)
    counted = count(str(log), scheme="https")
    assert counted.popularity.top(9) == [("http://c.example/", 2)]
    assert counted.without_host == 4


def test_a_line_too_long_is_no_request_and_its_rest_is_no_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(MAX_LINE_BYTES * "x" + line_of("/hidden") + line_of("/a"))
    counted = count(str(log), host="a.example")
    assert [found for found, _ in counted.popularity.top(9)] == ["http://a.example/a"]


def test_gzip_is_unpacked_and_a_broken_one_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log.gz"
    whole = gzip.compress((line_of("/a") * 1000).encode())
    log.write_bytes(whole)
    assert count(str(log), host="a.example").popularity.top(1) == [("http://a.example/a", 1000)]
    for broken in (whole[:-10], whole[:20] + b"\0\0\0\0" + whole[24:]):
        log.write_bytes(broken)
        with pytest.raises(NotALog, match="cannot be read"):
            count(str(log), host="a.example")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotALog, match="No such file"):
        count(str(tmp_path / "none"))
    with pytest.raises(NotALog, match="directory"):
        count(str(tmp_path))
