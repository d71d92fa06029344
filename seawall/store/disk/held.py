"""Which index the threads of a level have their connections to."""

from __future__ import annotations

import threading

from seawall.store.disk.index import Index


class Held:
    """A thread's connection is closed by that thread: when it takes another index, and when it leaves."""

    __slots__ = ("_mine",)

    def __init__(self) -> None:
        self._mine = threading.local()

    def take(self, index: Index) -> Index:
        """This thread's connections belong to this index from now on."""
        if getattr(self._mine, "index", None) is not index:
            self.let_go()
            self._mine.index = index
        return index

    def let_go(self) -> None:
        mine: Index | None = getattr(self._mine, "index", None)
        if mine is not None:
            self._mine.index = None
            mine.close()
