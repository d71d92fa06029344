"""What a level must hold once it was told so much: the plainest thing that can be said of operations, as a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seawall.policy.entry import Entry
from seawall.policy.invalidate import invalidated, stale_from
from seawall.store.level import Forget, How, Op, Put, Stamp
from seawall.store.memory import supersedes
from seawall.store.stored import Stored, stored


class Told:
    """Objects by name, and how far the orders are."""

    def __init__(self) -> None:
        self.held: dict[str, Stored] = {}
        self.stamp = Stamp()

    def tell(self, ops: Sequence[Op]) -> None:
        for op in ops:
            match op:
                case Put(item, stamp):
                    assert stamp == self.stamp
                    self._keep(lambda each, item=item: each.key != item.key or not supersedes(item.entry, each.entry))  # type: ignore[misc]
                    self.held[item.name] = item
                case Forget():
                    self._forget(op)
                    self.stamp = op.after or self.stamp

    def under(self, key: str) -> dict[str, Stored]:
        """By name, what is held under a key."""
        return {name: each for name, each in self.held.items() if each.key == key}

    def _forget(self, op: Forget) -> None:
        def selected(each: Stored) -> bool:
            return op.names.selects(each.name, each.key, each.entry.tags)

        if op.how is How.DROP:
            self._keep(lambda each: not selected(each))
        elif op.how is not How.COUNT:
            self.held = {name: _under(each, op) if selected(each) else each for name, each in self.held.items()}

    def _keep(self, wanted: Callable[[Stored], bool]) -> None:
        self.held = {name: each for name, each in self.held.items() if wanted(each)}


def _under(item: Stored, op: Forget) -> Stored:
    return stored(item.key, _marked(item.entry, op), item.body)


def _marked(entry: Entry, op: Forget) -> Entry:
    return stale_from(entry, op.at) if op.how is How.STALE else invalidated(entry)
