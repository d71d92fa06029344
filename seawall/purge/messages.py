"""The words of a feed: what a node and its hub say to each other, over one ordered connection for each node.

Knows no transport; each message is one JSON object, and whoever carries it says where it ends. A message
with a member or a name that we do not know is malformed: half-understood orders must not be confirmed.

    node                                          hub
      Hello      who, and how far                   Welcome   from where on you are ready
      Ping       my clock                           Reset     take everything for stale, go on from here
      Confirm    applied through, with a count      Orders    apply these, in this order
      Bye        I serve nothing stored any more    Echo      your clock, and what it is good for
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from seawall.purge.order import Order

VERSION = 1

# No message is longer: 512 KiB of names and one order more (hubfeed.py), each octet two at the worst, and their frame.
MAX_MESSAGE_BYTES = 2 << 20

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]


class _Message(msgspec.Struct, frozen=True, tag_field="is", tag=str.lower, forbid_unknown_fields=True):
    pass


class Hello(_Message, frozen=True, omit_defaults=True):
    """The first word of a connection. `after` is the last order of `journal` that this node has fully applied.

    `session` is random for each process. `sole`: no other process can be serving under this node's name any
    more, because this one holds a lock that ends with its holder. Without that a hub has to wait out the
    lease of whichever process it heard under this name before.
    """

    node: Name
    session: Name
    journal: Annotated[str, Meta(max_length=128)]
    after: Number
    sole: bool = False
    version: int = VERSION


class Ping(_Message, frozen=True):
    """`t0` is the node's monotonic clock when it was sent, in seconds."""

    t0: float


class Confirm(_Message, frozen=True, omit_defaults=True):
    """Everything up to `number` is applied: memory, disk and flights; this one met `matched` objects.

    `resets` is how many Resets of this connection came before: a confirmation that crossed one is void.
    """

    number: Number
    matched: Number | None = None
    octets: Number | None = None
    resets: Number = 0


class Bye(_Message, frozen=True):
    """The node has given up its lease: it is draining."""


class Welcome(_Message, frozen=True):
    """The answer to Hello. The node is ready when it has applied `number`; `seconds` is the lease."""

    journal: str
    number: Number
    seconds: float


class Reset(_Message, frozen=True):
    """What lies between is lost: everything stored is stale, and the next order is `number + 1`."""

    journal: str
    number: Number
    why: str


class Orders(_Message, frozen=True):
    """The next orders, dense."""

    orders: tuple[Order, ...]


class Echo(_Message, frozen=True):
    """The ping of `t0` was heard; from t0 on the node may trust what it stores for `grant` seconds. 0: not now."""

    t0: float
    grant: float


ToHub = Hello | Ping | Confirm | Bye
ToNode = Welcome | Reset | Orders | Echo


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that are none of these messages. The connection ends; never quotes what came."""

    why: str


_encoder = msgspec.json.Encoder()
_to_hub: msgspec.json.Decoder[ToHub] = msgspec.json.Decoder(ToHub)
_to_node: msgspec.json.Decoder[ToNode] = msgspec.json.Decoder(ToNode)


def encode(message: ToHub | ToNode) -> bytes:
    """One line of JSON, without its end."""
    return _encoder.encode(message)


def heard_by_hub(line: bytes) -> ToHub | Malformed:
    """What a node said."""
    try:
        return _to_hub.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Malformed("no message of a node")


def heard_by_node(line: bytes) -> ToNode | Malformed:
    """What the hub said."""
    try:
        return _to_node.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Malformed("no message of a hub")
