"""W-TinyLFU: a newcomer stays if it was asked for more often than what would leave for it
(Einziger, Friedman, Manes: TinyLFU, ACM Transactions on Storage 13(4), 2017).

A window of one per cent, in order of use, receives everybody. Who is pushed out of it contests a place in the main
part, which is segmented: on probation until it is used again, then protected.

Sizes vary, so all shares are bytes, and a contest is about the bytes that are missing: the candidate has to have been
asked for more often than all who would leave for it together (aggregated victims: Einziger, Eytan,
Friedman, Manes: Lightweight Robust Size Aware Cache Management, ACM Transactions on Storage 18(3), 2022). That favours
small objects and the hit ratio over large objects and the byte hit ratio.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from itertools import chain

from seawall.store.eviction.sketch import Sketch

# The papers' shares: 1 % window; of the main part 80 % protected.
WINDOW_SHARE = 0.01
PROTECTED_SHARE = 0.8
# A contest looks at no more than so many victims: if these are hardly asked for, so is what lies behind them.
_LOOKS = 256


class TinyLFU:
    """W-TinyLFU. O(1) amortised: a contest looks at 256 names at most, and the rest of the work is evictions.

    What has no room in the window, being larger than its share, contests at once, and is refused when it
    loses; having asked counts in its favour the next time.
    """

    __slots__ = ("_probation", "_protected", "_protected_bytes", "_protected_share", "_sketch", "_window",
                 "_window_bytes", "_window_share", "budget_bytes", "used_bytes")  # fmt: skip

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._sketch = Sketch()
        self._window: OrderedDict[Hashable, int] = OrderedDict()  # name to cost, coldest first; so are the others
        self._window_bytes = 0
        self._window_share = int(budget_bytes * WINDOW_SHARE)
        self._probation: OrderedDict[Hashable, int] = OrderedDict()
        self._protected: OrderedDict[Hashable, int] = OrderedDict()
        self._protected_bytes = 0
        self._protected_share = int((budget_bytes - self._window_share) * PROTECTED_SHARE)

    def touch(self, name: Hashable) -> None:
        """To the warm end, from probation to protection, and counted. 856 ns (bench/eviction.py)."""
        if name in self._protected:
            self._protected.move_to_end(name)
        elif name in self._probation:
            self._protect(name, self._probation.pop(name))
        elif name in self._window:
            self._window.move_to_end(name)
        else:
            return
        self._sketch.add(name)

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        victims: list[Hashable] = []
        if name in self:
            self._reprice(name, cost_bytes, victims)
            return victims
        self._sketch.add(name)
        if cost_bytes > self._window_share:
            missing = self.used_bytes + cost_bytes - self.budget_bytes
            if not self._wins(name, missing):
                return None
            self._make_room(missing, victims)
            self._probation[name] = cost_bytes
            self.used_bytes += cost_bytes
        else:
            self._window[name] = cost_bytes
            self._window_bytes += cost_bytes
            self.used_bytes += cost_bytes
            self._settle(victims)
        self._sketch.fit(len(self))
        return victims

    def forget(self, name: Hashable) -> None:
        if name in self._window:
            cost = self._window.pop(name)
            self._window_bytes -= cost
        elif name in self._protected:
            cost = self._protected.pop(name)
            self._protected_bytes -= cost
        else:
            cost = self._probation.pop(name, 0)
        self.used_bytes -= cost

    def __len__(self) -> int:
        return len(self._window) + len(self._probation) + len(self._protected)

    def __contains__(self, name: object) -> bool:
        return name in self._protected or name in self._probation or name in self._window

    def __repr__(self) -> str:
        parts = f"{len(self._window)} window, {len(self._probation)} probation, {len(self._protected)} protected"
        return f"<TinyLFU {parts}, {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        names = list(chain(self._window, self._probation, self._protected))
        assert len(names) == len(set(names)), "a name in two segments"  # noqa: S101
        assert self._window_bytes == sum(self._window.values()) <= self._window_share  # noqa: S101
        assert self._protected_bytes == sum(self._protected.values()) <= self._protected_share  # noqa: S101
        assert self.used_bytes == (  # noqa: S101
            self._window_bytes + self._protected_bytes + sum(self._probation.values())
        )
        assert self.used_bytes <= self.budget_bytes  # noqa: S101

    def _protect(self, name: Hashable, cost_bytes: int) -> None:
        """To the warm end of the protected segment; who has no room there is on probation again."""
        self._protected[name] = cost_bytes
        self._protected_bytes += cost_bytes
        while self._protected_bytes > self._protected_share:
            demoted, cost = self._protected.popitem(last=False)
            self._protected_bytes -= cost
            self._probation[demoted] = cost

    def _reprice(self, name: Hashable, cost_bytes: int, victims: list[Hashable]) -> None:
        """A known name at its new cost. It contests nothing: its place is its own."""
        segment = next(each for each in (self._protected, self._probation, self._window) if name in each)
        more = cost_bytes - segment[name]
        if more <= 0:
            segment[name] = cost_bytes
            self.used_bytes += more
            self._window_bytes += more if segment is self._window else 0
            self._protected_bytes += more if segment is self._protected else 0
            return
        self.forget(name)
        self._make_room(self.used_bytes + cost_bytes - self.budget_bytes, victims)
        self.used_bytes += cost_bytes
        if segment is self._protected:
            self._protect(name, cost_bytes)
        elif segment is self._window and cost_bytes <= self._window_share:
            self._window[name] = cost_bytes
            self._window_bytes += cost_bytes
            self._settle(victims)
        else:
            self._probation[name] = cost_bytes

    def _settle(self, victims: list[Hashable]) -> None:
        """Nobody is in the window above its share, nor anybody above the budget."""
        while self._window_bytes > self._window_share:
            candidate, cost = self._window.popitem(last=False)
            self._window_bytes -= cost
            missing = self.used_bytes - self.budget_bytes
            if self._wins(candidate, missing):
                self._make_room(missing, victims)
                self._probation[candidate] = cost
            else:
                self.used_bytes -= cost
                victims.append(candidate)
        # The window had not reached its share yet, and the main part gives back what it had borrowed.
        self._make_room(self.used_bytes - self.budget_bytes, victims)

    def _wins(self, candidate: Hashable, missing_bytes: int) -> bool:
        """Was it asked for more often than all that would leave for it together? Without victims it wins."""
        if missing_bytes <= 0:
            return True
        frequency = self._sketch.estimate(candidate)
        looks = _LOOKS
        for segment in (self._probation, self._protected, self._window):
            for victim, cost in segment.items():
                frequency -= self._sketch.estimate(victim)
                if frequency <= 0:
                    return False
                missing_bytes -= cost
                looks -= 1
                if missing_bytes <= 0 or not looks:
                    return True
        return True

    def _make_room(self, missing_bytes: int, victims: list[Hashable]) -> None:
        """The coldest leave until so many bytes are free."""
        while missing_bytes > 0:
            if self._probation:
                name, cost = self._probation.popitem(last=False)
            elif self._protected:
                name, cost = self._protected.popitem(last=False)
                self._protected_bytes -= cost
            else:
                name, cost = self._window.popitem(last=False)
                self._window_bytes -= cost
            self.used_bytes -= cost
            missing_bytes -= cost
            victims.append(name)
