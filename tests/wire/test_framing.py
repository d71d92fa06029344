"""How long a body is, or that two readers could disagree about it (RFC 9112 6, HAZARDS T01-T04, T11, T21, T25)."""

from __future__ import annotations

import pytest

from seawall.http.bad import Bad
from seawall.http.framing import (
    CHUNKED,
    NO_BODY,
    UNTIL_CLOSE,
    Chunked,
    Length,
    NoBody,
    UntilClose,
    keep_alive,
    request_framing,
    response_framing,
)
from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead

Pairs = list[tuple[str, str]]
CL, TE = "Content-Length", "Transfer-Encoding"


def of_request(pairs: Pairs, minor: int = 1) -> NoBody | Length | Chunked | Bad:
    return request_framing(RequestHead("POST", "http", "a", "/", headers(pairs), minor))


def of_response(
    pairs: Pairs, status: int = 200, method: str = "GET", minor: int = 1
) -> NoBody | Length | Chunked | UntilClose | Bad:
    return response_framing(method, ResponseHead(status, "", headers(pairs), minor))


@pytest.mark.parametrize(
    ("pairs", "framing"),
    [
        ([], NO_BODY),
        ([(CL, "0")], Length(0)),
        ([(CL, "5")], Length(5)),
        ([("content-LENGTH", "123456789012345678")], Length(123456789012345678)),
        ([(TE, "chunked")], CHUNKED),
        ([(TE, "Chunked")], CHUNKED),
    ],
)
def test_clear_framing(pairs: Pairs, framing: object) -> None:
    assert of_request(pairs) == framing
    assert of_response(pairs) == (UNTIL_CLOSE if framing == NO_BODY else framing)


UNCLEAR: list[tuple[Pairs, int]] = [
    ([(CL, "6"), (TE, "chunked")], 400),
    ([(TE, "chunked"), (CL, "6")], 400),
    ([(CL, "0"), (CL, "5")], 400),
    ([(CL, "5"), (CL, "5")], 400),
    *(
        ([(CL, value)], 400)
        for value in (
            "+5", "-5", "-0", "0x5", "5, 5", "5,6", "", " ", "05", "00", "5_0", "5 0", "5.0", "5;", "1e1", "\u0665",
            "1234567890123456789", "five", '"5"',
        )
    ),
    *(
        ([(TE, value)], 400)
        for value in (
            "xchunked", "\x0bchunked", ",chunked", "chunked,", "chunked, identity", "identity", "chunked, chunked", "",
            "gzip", "chunked;q=1", '"chunked"', "chunked gzip", "gzip chunked", "chunked, gzip, chunked",
            "chun\u212aed",
        )
    ),
    ([(TE, "gzip, chunked")], 501),
    ([(TE, "identity, chunked")], 501),
    ([(TE, "chunked"), (TE, "chunked")], 400),
    ([(TE, "gzip"), (TE, "chunked")], 400),
    ([(TE, "chunked"), (TE, "identity")], 400),
]  # fmt: skip


@pytest.mark.parametrize(("pairs", "status"), UNCLEAR, ids=[str(pairs) for pairs, _ in UNCLEAR])
def test_unclear_framing_is_refused_both_ways(pairs: Pairs, status: int) -> None:
    got = of_request(pairs)
    assert isinstance(got, Bad)
    assert got.status == status
    for method, code in (("GET", 200), ("HEAD", 200), ("GET", 304), ("GET", 204)):
        answer = of_response(pairs, code, method)
        assert isinstance(answer, Bad)
        assert answer.status == 502


def test_http_1_0_has_no_transfer_codings() -> None:
    assert isinstance(of_request([(TE, "chunked")], minor=0), Bad)
    assert isinstance(of_response([(TE, "chunked")], minor=0), Bad)
    assert of_request([(CL, "5")], minor=0) == Length(5)


@pytest.mark.parametrize(
    "value", ["Content-Length", "close, content-LENGTH", "Host", "keep-alive,host", "Transfer-Encoding"]
)
def test_connection_may_not_name_framing_or_routing(value: str) -> None:
    got = of_request([("Connection", value), (CL, "5")])
    assert isinstance(got, Bad)
    assert got.status == 400
    assert isinstance(of_request([("Connection", "close"), ("Connection", value)]), Bad)


@pytest.mark.parametrize("value", ["close", "keep-alive", "Keep-Alive, TE", "upgrade", "x-mine", "", ","])
def test_connection_may_name_other_things(value: str) -> None:
    assert of_request([("Connection", value)]) == NO_BODY


@pytest.mark.parametrize("status", [100, 102, 103, 199, 204])
def test_a_status_without_body_announces_none(status: int) -> None:
    assert of_response([], status) == NO_BODY
    assert of_response([(CL, "0")], status) == NO_BODY
    assert isinstance(of_response([(CL, "5")], status), Bad)
    assert isinstance(of_response([(TE, "chunked")], status), Bad)
    assert isinstance(of_response([(CL, "5")], status, "HEAD"), Bad)


def test_head_and_304_tell_a_length_that_is_not_there() -> None:
    for status, method in ((200, "HEAD"), (404, "HEAD"), (304, "GET")):
        for pairs in ([], [(CL, "5")], [(TE, "chunked")]):
            assert of_response(pairs, status, method) == NO_BODY


@pytest.mark.parametrize(
    ("lines", "minor", "lives"),
    [
        ([], 1, True),
        ([], 0, False),
        (["close"], 1, False),
        (["Close"], 1, False),
        (["cLoSe"], 1, False),
        (["keep-alive"], 0, True),
        (["Keep-Alive"], 0, True),
        (["KEEP-ALIVE"], 0, True),
        (["keep-alive, close"], 0, False),
        (["keep-alive", "close"], 1, False),
        (["te"], 1, True),
        (["te"], 0, False),
        (["closed"], 1, True),
    ],
)
def test_whether_the_connection_lives_on(lines: list[str], minor: int, lives: bool) -> None:
    pairs = [("Connection", line) for line in lines]
    assert keep_alive(RequestHead("GET", "http", "a", "/", headers(pairs), minor)) is lives
    assert keep_alive(ResponseHead(200, "", headers(pairs), minor)) is lives
