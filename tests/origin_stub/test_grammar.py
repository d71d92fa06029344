"""The words in which replies are asked for."""

from __future__ import annotations

import pytest

from origin_stub.grammar import OPTIONS, ScriptError, reply_of
from origin_stub.reply import After, Early, Fault, Framing, Reply


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("", Reply()),
        ("status=404&reason=Gone+away", Reply(404, "Gone away")),
        ("header=A:+b&header=A:c", Reply(headers=(("A", "b"), ("A", "c")))),
        ("max-age=60&type=text/css", Reply(headers=(("Cache-Control", "max-age=60"), ("Content-Type", "text/css")))),
        ("etag", Reply(etag="auto")),
        ("etag=x", Reply(etag='"x"')),
        ('etag=W/"x"', Reply(etag='W/"x"')),
        ("size=1GiB&piece=1KiB", Reply(size=1 << 30, piece=1024)),
        ("delay=250ms&piece-delay=0.5", Reply(delay=0.25, piece_delay=0.5)),
        ("rate=100KiB", Reply(piece=10240, piece_delay=0.1)),
        ("body=%00%ff%0a", Reply(body=b"\x00\xff\n")),
        ("raw=HTTP/1.1%20200%20OK%0d%0a%0d%0a", Reply(raw=b"HTTP/1.1 200 OK\r\n\r\n")),
        ("early=103+Link:+</a>&early=102", Reply(early=(Early(103, (("Link", "</a>"),)), Early(102)))),
        ("trailer=T:1&framing=chunked", Reply(framing=Framing.CHUNKED, trailers=(("T", "1"),))),
        ("fault=truncate-chunked&at=5", Reply(framing=Framing.CHUNKED, fault=Fault.TRUNCATE_CHUNKED, at=5)),
        ("vary=a,+b&vary=c&after=reset&gate=g", Reply(vary=("a", "b", "c"), after=After.RESET, gate="g")),
        ("read=off&date=off&plain&conditional=off&ranges=off",
         Reply(read=False, date=False, plain=True, conditional=False, ranges=False)),
        ("_=1&_nocache=2", Reply()),
    ],
)  # fmt: skip
def test_a_query_means_this_reply(text: str, reply: Reply) -> None:
    assert reply_of(text) == reply


def test_an_object_of_json_means_what_the_query_means() -> None:
    asked = {"status": 503, "header": ["A: b", "C: d"], "read": False, "delay": 0.5, "size": "1KiB"}
    assert reply_of(asked) == reply_of("status=503&header=A:b&header=C:d&read=off&delay=500ms&size=1024")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("sice=3", "unknown option 'sice'; did you mean 'size'"),
        ("qqq=3", "unknown option 'qqq'"),
        ("status=20", "status 20"),
        ("status=-1", "not a whole number"),
        ("status=٣٠٠", "not a whole number"),
        ("size=many", "size: 'many' is not a size"),
        ("size=1TiB", "not a size"),
        ("delay=5y", "delay: '5y' is not a duration"),
        ("header=nothing", "not `Name: value`"),
        ("header=a%20b:c", "not `Name: value`"),
        ("header=a:b%0d%0ac:d", "cannot hold CR or LF"),
        ("framing=sideways", "none of: length, chunked, close, none"),
        ("fault=truncate&framing=close", "use reset-body"),
        ("framing=close&fault=truncate", "use reset-body"),
        ("fault=typo", "none of: truncate"),
        ("trailer=A:b", "framing=chunked"),
        ("early=200", "not an interim status"),
        ("piece=0", "at least one byte"),
        ("rate=0", "more than 0"),
        ("read=maybe", "neither on nor off"),
        ({"header": {"A": "b"}}, "neither text nor a number"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(asked: str | dict[str, object], says: str) -> None:
    with pytest.raises(ScriptError) as refused:
        reply_of(asked)
    assert says in str(refused.value)


def test_every_option_has_one_name_and_an_explanation() -> None:
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    assert all(option.meaning.endswith(".") and option.example for option in OPTIONS)
