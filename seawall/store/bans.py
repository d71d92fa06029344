"""An order on more objects than can be looked at in one piece: true at once, carried out on one after the other.

Varnish's ban, and the lurker that walks behind it. From the moment it is there, whoever looks for an object that it
concerns has it carried out on that one first; meanwhile the store walks through its parts and does the rest. What is
stored after it is not concerned. It counts each object once, whoever came to it first: the walk, somebody who looked,
another order, or an eviction.
"""

from __future__ import annotations

from collections.abc import Callable

from seawall.policy.entry import Entry
from seawall.store.shards import SHARDS, TOP
from seawall.store.stored import Stored


class Ban:
    """`how`: what an entry is to become; None: it is to go. `ended`: nothing is left to be done, and `over` was called.

    `matched`, `octets`: how many objects it has met so far, and of their bodies. `names`: the same by name, for who
    wants to know.
    """

    __slots__ = ("ended", "exempt", "how", "left", "matched", "names", "octets", "over", "prefixes", "shard",
                 "walked")  # fmt: skip

    def __init__(self, prefixes: tuple[str, ...], how: Callable[[Entry], Entry] | None, *, named: bool = False) -> None:
        self.prefixes = prefixes
        self.how = how
        self.matched = 0
        self.octets = 0
        self.names: dict[str, int] | None = {} if named else None
        # Stored since, or done, in shards that the walk has not left behind. A set of all would be written anew when it
        # is full: 25 ms at 400,000.
        self.exempt: set[Stored] = set()
        self.shard = 0  # the next one to walk through
        self.left: list[Stored] = []  # of the one before it
        self.walked: list[Stored] = []  # the same, of whom it has been done
        self.ended = False
        self.over: Callable[[], None] = _nobody

    def __repr__(self) -> str:
        return f"<Ban on {', '.join(self.prefixes)}: {self.matched} met>"

    def concerns(self, key: str) -> bool:
        """May an object of this key be one that it was meant for?"""
        return key.startswith(self.prefixes)

    def awaits(self, item: Stored) -> bool:
        """Is it still to be carried out on this one?"""
        key = item.key
        if not key.startswith(self.prefixes) or (hash(key) >> TOP) % SHARDS < self.shard - 1:
            return False
        return item not in self.exempt

    def go_on(self, concerned: list[Stored]) -> None:
        """To the next shard, in which these are concerned."""
        self.exempt.difference_update(self.walked)
        self.walked = []
        self.left = concerned
        self.shard += 1

    def meet(self, item: Stored) -> None:
        """It is carried out on this one."""
        self.exempt.add(item)
        self.matched += 1
        octets = item.body_bytes
        self.octets += octets
        if self.names is not None:
            self.names[item.name] = octets

    def end(self) -> None:
        """Nothing is left of it."""
        self.ended = True
        self.exempt = set()
        self.left, self.walked = [], []
        self.over()


def _nobody() -> None:
    """Waits for its end."""
