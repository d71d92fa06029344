"""The words in which a Reply is asked for: in a URL, in the control API's JSON, and in tests. One table for all.

`raise ScriptError` names the option, what is wrong and the nearest known option.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import TypeVar
from urllib.parse import parse_qsl

from origin_stub.reply import AUTO, After, Early, Expect, Fault, Framing, Reply
from origin_stub.units import seconds, size_bytes

_E = TypeVar("_E", bound=Enum)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


class ScriptError(ValueError):
    """What was asked for cannot be read; the message is for the one who wrote it."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name, an example of its value, one sentence, and what it does to the reply."""

    name: str
    example: str
    meaning: str
    apply: Callable[[Reply, str], Reply]


def reply_of(asked: Reply | str | Mapping[str, object]) -> Reply:
    """A reply from `status=404&size=1KiB`, from {"status": 404, "header": [...]}, or as it is."""
    if isinstance(asked, Reply):
        return asked
    if isinstance(asked, str):
        return parse_query(asked)
    return parse_pairs(_pairs(asked))


@lru_cache(maxsize=4096)  # reading a few options takes as long as the rest of a small answer
def parse_query(text: str) -> Reply:
    """A reply from the options of a query string; an empty one is 200 without content."""
    # Escaped octets that are not UTF-8 survive, so that any byte can be put into a head or body.
    return parse_pairs(parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))


def parse_pairs(pairs: Iterable[tuple[str, str]]) -> Reply:
    """A reply from options in their order: of those that may not repeat, the last counts."""
    reply = Reply()
    later: list[tuple[Option, str]] = []
    for name, value in pairs:
        if name.startswith("_"):
            continue
        option = BY_NAME.get(name)
        if option is None:
            near = difflib.get_close_matches(name, BY_NAME, 1)
            raise ScriptError(f"unknown option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if name in ("fault", "trailer"):
            later.append((option, value))  # what they need may stand behind them
            continue
        reply = _applied(option, reply, value)
    for option, value in later:
        reply = _applied(option, reply, value)
    return reply


def wire(text: str) -> bytes:
    """The octets of a text that came through this grammar."""
    return text.encode("utf-8", "surrogateescape")


def _applied(option: Option, reply: Reply, value: str) -> Reply:
    try:
        return option.apply(reply, value)
    except ValueError as wrong:
        raise ScriptError(f"{option.name}: {wrong}") from wrong


def _pairs(asked: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    for name, value in asked.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bool):
                yield name, "on" if one else "off"
            elif isinstance(one, (str, int, float)):
                yield name, str(one)
            else:
                raise ScriptError(f"{name}: {json.dumps(one)} is neither text nor a number nor a list of these")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _switch(text: str) -> bool:
    if text in ("", "on", "1", "true", "yes"):
        return True
    if text in ("off", "0", "false", "no"):
        return False
    raise ValueError(f"{text!r} is neither on nor off")


def _one_of(kind: type[_E], text: str) -> _E:
    for member in kind:
        if member.value == text:
            return member
    raise ValueError(f"{text!r} is none of: " + ", ".join(str(member.value) for member in kind))


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name):
        raise ValueError(f"{text!r} is not `Name: value`; `raw` sends any bytes")
    if "\r" in value or "\n" in value:
        raise ValueError("a value cannot hold CR or LF; `raw` sends any bytes")
    return name, value.strip(" \t")


def _header(reply: Reply, text: str) -> Reply:
    return replace(reply, headers=(*reply.headers, _field(text)))


def _etag(text: str) -> str:
    if text in ("", AUTO, "on"):
        return AUTO
    return text if text.startswith(('"', 'W/"')) else f'"{text}"'


def _early(text: str) -> Early:
    status, _, field = text.partition(" ")
    number = _number(status or "103")
    if not 100 <= number <= 199:
        raise ValueError(f"{number} is not an interim status")
    return Early(number, (_field(field),) if field else ())


def _fault(reply: Reply, text: str) -> Reply:
    fault = _one_of(Fault, text)
    framing = Framing.CHUNKED if fault is Fault.TRUNCATE_CHUNKED else reply.framing
    return replace(reply, fault=fault, framing=framing)


def _rate(reply: Reply, text: str) -> Reply:
    rate = size_bytes(text)
    if not rate:
        raise ValueError("a rate is more than 0 bytes a second")
    # Ten pieces a second: smooth enough to look like a slow link, few enough to be exact.
    piece = max(1, rate // 10)
    return replace(reply, piece=piece, piece_delay=piece / rate)


def _fields(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


OPTIONS = (
    Option("status", "404", "The status code.", lambda r, v: replace(r, status=_number(v))),
    Option("reason", "Gone", "The reason phrase.", lambda r, v: replace(r, reason=v)),
    Option("header", "Name: value", "A response field; may repeat.", _header),
    Option("cache-control", "public, max-age=60", "Cache-Control.", lambda r, v: _header(r, f"Cache-Control: {v}")),
    Option("max-age", "60", "Cache-Control: max-age=60.", lambda r, v: _header(r, f"Cache-Control: max-age={v}")),
    Option("type", "text/css", "Content-Type.", lambda r, v: _header(r, f"Content-Type: {v}")),
    Option("etag", "abc", 'ETag: "abc"; without a value, one per version.', lambda r, v: replace(r, etag=_etag(v))),
    Option(
        "last-modified",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Last-Modified; without a value, one per version.",
        lambda r, v: replace(r, last_modified=v or AUTO),
    ),
    Option(
        "vary",
        "accept-language",
        "Fields that select the variant; Vary names them.",
        lambda r, v: replace(r, vary=r.vary + _fields(v)),
    ),
    Option("size", "1GiB", "Bytes of generated body.", lambda r, v: replace(r, size=size_bytes(v))),
    Option("body", "hello", "A literal body.", lambda r, v: replace(r, body=wire(v))),
    Option("version", "3", "Of the body, instead of the path's own.", lambda r, v: replace(r, version=_number(v))),
    Option(
        "framing",
        "chunked",
        "length, chunked, close or none.",
        lambda r, v: replace(r, framing=_one_of(Framing, v)),
    ),
    Option(
        "trailer",
        "Name: value",
        "A field behind the last chunk; may repeat.",
        lambda r, v: replace(r, trailers=(*r.trailers, _field(v))),
    ),
    Option(
        "early",
        "103 Link: </app.css>",
        "An interim response first; may repeat.",
        lambda r, v: replace(r, early=(*r.early, _early(v))),
    ),
    Option("delay", "500ms", "Before the head.", lambda r, v: replace(r, delay=seconds(v))),
    Option("piece", "1KiB", "Bytes written (or chunked) at a time.", lambda r, v: replace(r, piece=size_bytes(v))),
    Option("piece-delay", "10ms", "Between two pieces.", lambda r, v: replace(r, piece_delay=seconds(v))),
    Option("rate", "100KiB", "Bytes a second; sets piece and piece-delay.", _rate),
    Option("gate", "NAME", "Wait before the head until the gate opens.", lambda r, v: replace(r, gate=v)),
    Option("gate-body", "NAME", "Wait after `at` bytes of the body.", lambda r, v: replace(r, gate_body=v)),
    Option("gate-after", "NAME", "Hold `after`, or fault=unsolicited, back.", lambda r, v: replace(r, gate_after=v)),
    Option("fault", "truncate", ", ".join(fault.value for fault in Fault) + ".", _fault),
    Option("at", "100", "Bytes of body before the fault; else half.", lambda r, v: replace(r, at=size_bytes(v))),
    Option(
        "after",
        "fin",
        "Connection after the answer: keep, fin or reset.",
        lambda r, v: replace(r, after=_one_of(After, v)),
    ),
    Option("read", "off", "Answer without reading the request's body.", lambda r, v: replace(r, read=_switch(v))),
    Option(
        "expect",
        "ignore",
        "Expect: 100-continue gets continue or ignore.",
        lambda r, v: replace(r, expect=_one_of(Expect, v)),
    ),
    Option("conditional", "off", "Never 304.", lambda r, v: replace(r, conditional=_switch(v))),
    Option("ranges", "off", "Never 206 or 416.", lambda r, v: replace(r, ranges=_switch(v))),
    Option("date", "off", "No Date.", lambda r, v: replace(r, date=_switch(v))),
    Option("plain", "on", "No Stub-Version and Stub-Serial.", lambda r, v: replace(r, plain=_switch(v))),
    Option("raw", "HTTP/1.1%20200...", "These bytes as the answer.", lambda r, v: replace(r, raw=wire(v))),
)
BY_NAME = {option.name: option for option in OPTIONS}


def options_help() -> str:
    """The table of options, for --help."""
    return "\n".join(f"  {f'{o.name}={o.example}':<44} {o.meaning}" for o in OPTIONS)
