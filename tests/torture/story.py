"""A story that a writer can tell again from any point on: batch `number` is the same whoever asks for it.

Batch n ends with order n + 1, so what a level says of the orders tells how much of the story it has.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from seawall.policy.entry import Part
from seawall.store.level import Forget, How, Names, Op, Put, Stamp, Used
from seawall.store.stored import Stored
from tests.store.level_contract import SITE, item
from tests.torture.told import Told

JOURNAL = "torture"
PATHS = 20
SIZES = (0, 1, 700, 32_768, 32_769, 70_000, 300_000)
# A body of this size is brought by a spool.
SPOOLED_BYTES = 600_000
# The same in every process that tells it.
NOW = 1_800_000_000.0
INSTANTS = {
    "requested_at": NOW - 1,
    "stored_at": NOW,
    "born_at": NOW - 10.25,
    "fresh_until": NOW + 3600,
    "swr_until": NOW + 3660,
    "sie_until": NOW + 7200,
    "unreachable_until": NOW + 86400,
}
KEYS = tuple(f"{SITE}/{path}" for path in range(PATHS))


@dataclass(frozen=True)
class Chapter:
    """One batch. `spooled` is put in front of it, with its body brought by a spool."""

    ops: list[Op]
    spooled: Stored | None

    def all(self) -> list[Op]:
        """As for a level that takes every body in memory."""
        if self.spooled is None:
            return self.ops
        return [Put(self.spooled, _stamp_of(self.ops)), *self.ops]


def stamp(number: int) -> Stamp:
    """What holds before batch `number`."""
    return Stamp(JOURNAL, number) if number else Stamp()


def chapter(seed: int, number: int) -> Chapter:
    """Batch `number` of the story that this seed tells."""
    chance = random.Random(f"{seed}/{number}")
    now = stamp(number)
    ops: list[Op] = [_op(chance, now) for _ in range(chance.randint(1, 6))]
    ops.append(Forget(Names(tags=(f"t{chance.randrange(12)}",)), How.DROP, NOW, stamp(number + 1)))
    spooled = _item(chance, SPOOLED_BYTES + chance.randrange(SPOOLED_BYTES)) if chance.random() < 0.1 else None
    return Chapter(ops, spooled)


def told(seed: int, batches: int) -> Told:
    """What holds after so many batches."""
    model = Told()
    for number in range(batches):
        model.tell(chapter(seed, number).all())
    return model


def _op(chance: random.Random, now: Stamp) -> Op:
    at = chance.random()
    if at < 0.75:
        return Put(_item(chance, chance.choice(SIZES)), now)
    if at < 0.8:
        return Used((f"{SITE}/{chance.randrange(PATHS)}",))
    names = Names(urls=(chance.choice(KEYS),)) if chance.random() < 0.5 else Names(tags=(f"t{chance.randrange(12)}",))
    return Forget(names, chance.choice((How.DROP, How.STALE, How.INVALIDATE)), NOW + chance.randrange(100))


def _item(chance: random.Random, size: int) -> Stored:
    varied = chance.choice(((), (), (("accept-encoding", "gzip"),)))
    part = chance.choice((None, None, None, Part(0, 99, 1000, "bytes=0-99")))
    tags = tuple(dict.fromkeys(f"t{chance.randrange(12)}" for _ in range(chance.randrange(4))))
    number = chance.getrandbits(32)
    lines = (("ETag", f'"{number:x}"'), ("X", "\xe9"), ("x", "2"))
    return item(
        f"/{chance.randrange(PATHS)}", chance.randbytes(size), *lines, **INSTANTS, varied=varied, part=part, tags=tags
    )


def _stamp_of(ops: list[Op]) -> Stamp:
    last = ops[-1]
    assert isinstance(last, Forget)
    assert last.after is not None
    return stamp(last.after.number - 1)
