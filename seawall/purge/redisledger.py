"""The journal in Redis, one question at a time: each is a script, and its answer a value.

Knows no deadlines and no groups; redisjournal.py has them. What each script checks is in redisscripts.py.

Errors are of two kinds, and the difference is what the hub knows afterwards: `Refused` came as an answer, so nothing
was written; `Lost` means that no answer came, and the command may have been carried out, or may be yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from seawall.purge import redisscripts as scripts
from seawall.purge.ledger import JournalError
from seawall.purge.order import Order, decode, encode
from seawall.purge.redisidentity import Found

NAMESPACE = "seawall"
PAGE_ORDERS = 2000


class Client(Protocol):
    """What is needed of redis-py's clients: single server, Sentinel and cluster have it alike.

    It must not send a command again by itself.
    """

    def execute_command(self, *args: object) -> Awaitable[object]: ...

    def aclose(self) -> Awaitable[None]: ...


class Refused(JournalError):
    """Redis answered with an error: nothing was written."""


class Lost(JournalError):
    """Redis gave no answer: whether it was written is not known."""


class Unlike(JournalError):
    """Something is not as it was when this hub took the journal, so it does not number any more."""


class Taken(JournalError):
    """Another hub holds the lease; `holder` is who, as it wrote itself down."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"another hub numbers the orders: {holder.partition('.')[0] or 'unknown'}")
        self.holder = holder


class Free(JournalError):
    """Nobody holds the lease: ours has run out."""


class Elsewhere(JournalError):
    """The journal does not end where this hub thought."""


@dataclass(frozen=True, slots=True)
class Written:
    """One order and how many octets it takes in the stream."""

    order: Order
    octets: int


@dataclass(frozen=True, slots=True)
class Server:
    """What the server promises of acknowledged writes.

    `evicts` is its policy where that may throw the journal or its lease away.
    """

    durable: bool
    evicts: str | None


class RedisLedger:
    """A hub's hands on the journal. `owner` is unique to this taking over; `epoch` belongs to the caller's story."""

    def __init__(
        self, client: Client, node: str, lease_seconds: float, namespace: str = NAMESPACE, *, alone: bool = True
    ) -> None:
        """`alone`: no other server can take the place of the one that answers."""
        self._client = client
        self._alone = alone
        self._keys = tuple(f"{namespace}:{{journal}}:{name}" for name in ("hub", "about", "orders"))
        self._ttl = max(1, int(lease_seconds * 1000))
        self._epoch = 1
        self._id = ""
        self._run = ""
        self.owner = f"{node}/{secrets.token_hex(8)}"

    @property
    def _value(self) -> str:
        return f"{self.owner}.{self._epoch}"

    async def server(self) -> Server:
        """What it says of itself; where it does not say (a cluster, a managed Redis), the cautious reading."""
        if not self._alone:
            return Server(durable=False, evicts=None)
        try:
            said = [await self._client.execute_command("CONFIG", "GET", name) for name in _SETTINGS]
            told = await self._client.execute_command("INFO", "replication")
        except ResponseError:
            return Server(durable=False, evicts=None)
        except (RedisError, OSError) as error:
            raise Lost(_words(error)) from error
        settings: dict[str, str] = {}
        for each in said:
            settings |= _mapping(each)
        master = _field(told, "role") == "master" and _field(told, "connected_slaves") == "0"
        always = settings.get("appendonly") == "yes" and settings.get("appendfsync") == "always"
        policy = settings.get("maxmemory-policy", "")
        return Server(
            durable=master and always and settings.get("no-appendfsync-on-rewrite") == "no",
            # volatile-ttl takes what has the shortest time left, and that is the lease.
            evicts=policy
            if policy.startswith(("allkeys", "volatile-ttl")) and settings.get("maxmemory") != "0"
            else None,
        )

    async def take(self, durable: bool) -> Found:
        """Takes the lease. Raises Taken."""
        answer = await self._ask(scripts.TAKE, self._value, self._ttl)
        if answer[0] != "taken":
            raise Taken(_text(answer[1]))
        about = answer[4]
        return Found(_mapping(about), _text(answer[3]), _text(answer[1]), _text(answer[2]), durable)

    async def read(self, first: int) -> list[Written]:
        """The orders from this number on, dense. Raises Unlike where they are not."""
        found: list[Written] = []
        while True:
            start = found[-1].order.number + 1 if found else first
            answer = await self._ask(scripts.READ, self._value, self._ttl, start, PAGE_ORDERS)
            self._expect(answer, "read")
            entries = answer[1]
            assert isinstance(entries, list)  # noqa: S101
            for entry in entries:
                written = _written(entry)
                if found and written.order.number != found[-1].order.number + 1:
                    raise Unlike(f"order {written.order.number} stands behind {found[-1].order.number}")
                found.append(written)
            if len(entries) < PAGE_ORDERS:
                return found

    async def settle(self, found: Found, journal: str, *, begin: bool) -> None:
        """From now on this hub numbers the journal of that id, which begins here where it says so."""
        answer = await self._ask(
            scripts.SETTLE, self._value, self._ttl, self.owner, found.run, found.replid, int(found.durable),
            journal if begin else "", scripts.VERSION,
        )  # fmt: skip
        self._expect(answer, "settled")
        self._id, self._run = journal, found.run

    async def append(self, last: int, orders: Sequence[Order]) -> list[Written]:
        """Writes these down behind `last`, all or none. Raises Elsewhere where that is not the last one."""
        lines = [encode(order) for order in orders]
        self._expect(await self._ask(scripts.APPEND, self._value, self._run, self._id, last, *lines), "done")
        return [Written(order, len(line)) for order, line in zip(orders, lines, strict=True)]

    async def touch(self, last: int, durable: bool, *, afresh: bool = False) -> int:
        """Prolongs the lease, or takes it again where nobody had it since; the newest number, at least `last`.

        `afresh`: whatever was sent before and has not been carried out yet never will be.
        """
        if afresh:
            self._epoch += 1
        answer = await self._ask(
            scripts.TOUCH, self.owner, self._epoch, self._ttl, self._run, self._id, last, int(durable)
        )
        self._expect(answer, "held")
        newest, top = int(_text(answer[1])), _text(answer[2])
        if top != (f"{newest}-0" if newest else ""):
            raise Unlike(f"the stream ends at {top or 'nothing'}, and {newest} orders were acknowledged")
        return newest

    async def trim(self, first: int) -> None:
        """Forgets the orders below this number."""
        self._expect(await self._ask(scripts.TRIM, self._value, first), "done")

    async def release(self) -> None:
        """Gives the lease back, where it is still ours."""
        await self._ask(scripts.RELEASE, self.owner)

    def _expect(self, answer: list[object], word: str) -> None:
        said = _text(answer[0])
        if said == word:
            return
        what = _text(answer[1])
        match said:
            case "lease" if what.startswith(f"{self.owner}."):
                raise Unlike("its lease has another epoch")  # no other process can have written that
            case "lease" if what:
                raise Taken(what)
            case "lease":
                raise Free("the lease on the journal has run out")
            case "run":
                raise Unlike("Redis was restarted or replaced")
            case "id":
                raise Unlike("the journal is gone" if not what else f"the journal is another one: {what}")
            case "last":
                raise Elsewhere(f"the journal ends at {what or 'nothing'}")
            case _:
                raise Unlike(f"Redis answered {said}")

    async def _ask(self, script: str, *words: object) -> list[object]:
        try:
            answer = await self._client.execute_command("EVAL", script, len(self._keys), *self._keys, *words)
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            raise Lost(_words(error)) from error
        except ResponseError as error:
            raise Refused(f"Redis refused it: {error}") from error
        except RedisError as error:
            raise Lost(_words(error)) from error
        assert isinstance(answer, list)  # noqa: S101
        return [_text(answer[0]), *answer[1:]]


_SETTINGS = ("append*", "no-appendfsync-on-rewrite", "maxmemory*")


def _words(error: BaseException) -> str:
    return f"Redis cannot be reached: {error or type(error).__name__}"


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else str(value)


def _mapping(value: object) -> dict[str, str]:
    """A flat array (RESP2) or a map (RESP3, or made into one by the client)."""
    if isinstance(value, Mapping):
        return {_text(key): _text(each) for key, each in value.items()}
    words = [_text(each) for each in value] if isinstance(value, list) else []
    return dict(zip(words[::2], words[1::2], strict=False))


def _field(info: object, name: str) -> str:
    if isinstance(info, Mapping):
        return _mapping(info).get(name, "")
    for line in _text(info).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""


def _written(entry: object) -> Written:
    if not (isinstance(entry, list | tuple) and len(entry) == 2):
        raise Unlike("the stream holds something that is no entry")
    number, fields = _text(entry[0]), entry[1]
    line = fields[1] if isinstance(fields, list) and len(fields) == 2 and _text(fields[0]) == "order" else None
    if not isinstance(line, bytes | str):
        raise Unlike(f"entry {number} is no order")
    line = line if isinstance(line, bytes) else line.encode()
    try:
        order = decode(line)
    except msgspec.DecodeError:
        # `version` says that it is ours: written by a version with more to say, as in a file with a good checksum.
        raise JournalError(f"entry {number} of the journal in Redis cannot be read by this version") from None
    if number != f"{order.number}-0":
        raise Unlike(f"entry {number} holds order {order.number}")
    return Written(order, len(line))
