"""What a hub may ask a node beside the orders: what would this purge meet?

Asked over the feed, so that only the hub has to be reachable and a node without an admin port can answer. In
frames of their own kind: an answer confirms nothing.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from seawall.purge.messages import Number
from seawall.purge.selection import Selection

T = TypeVar("T")


class Count(msgspec.Struct, frozen=True, tag_field="asks", tag="count", forbid_unknown_fields=True):
    """How much does this select? `ask` comes back with the answer."""

    ask: Number
    what: Selection


class Counts(msgspec.Struct, frozen=True, tag_field="says", tag="counts", forbid_unknown_fields=True):
    """That much, now: stored objects, and the octets of their bodies."""

    ask: Number
    matched: Number
    octets: Number


_encoder = msgspec.json.Encoder()
_question = msgspec.json.Decoder(Count)
_answer = msgspec.json.Decoder(Counts)


def encode(message: Count | Counts) -> bytes:
    """One JSON object."""
    return _encoder.encode(message)


def asked(data: bytes) -> Count | None:
    """What the hub asks; None where this is no question that we know."""
    return _decoded(_question, data)


def answered(data: bytes) -> Counts | None:
    """What a node answers; None where this is no answer."""
    return _decoded(_answer, data)


def _decoded(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
