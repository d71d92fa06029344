"""Waking those who wait for a condition on state that others change. One bell, many waiters, no polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bell:
    """Whoever changes the state rings; whoever waits looks again."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Let every waiter look again."""
        waiting, self._waiting = self._waiting, set()
        for one in waiting:
            one.set_result(None)

    async def until(self, condition: Callable[[], bool], within: float | None = None) -> bool:
        """Return True as soon as the condition holds, False after `within` seconds.

        Nothing runs between the look that found it true and the caller: what was seen may be acted on.
        """
        loop = asyncio.get_running_loop()
        deadline = None if within is None else loop.time() + within
        while not condition():
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return False
            one: asyncio.Future[None] = loop.create_future()
            self._waiting.add(one)
            try:
                await asyncio.wait((one,), timeout=left)
            finally:
                self._waiting.discard(one)
        return True
