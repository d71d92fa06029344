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

from collections.abc import Hashable

from seawall.store.eviction.chain import Chain, Place
from seawall.store.eviction.sketch import Sketch
from seawall.store.shards import TOP, Shards

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

    __slots__ = ("_places", "_probation", "_protected", "_protected_share", "_sketch", "_window", "_window_share",
                 "budget_bytes")  # fmt: skip

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._sketch = Sketch()
        self._places: Shards[Hashable, Place] = Shards()
        self._window = Chain()
        self._window_share = int(budget_bytes * WINDOW_SHARE)
        self._probation = Chain()
        self._protected = Chain()
        self._protected_share = int((budget_bytes - self._window_share) * PROTECTED_SHARE)

    @property
    def used_bytes(self) -> int:
        return self._window.bytes + self._probation.bytes + self._protected.bytes

    def touch(self, name: Hashable) -> None:
        """To the warm end, from probation to protection, and counted."""
        place = self._places.dicts[hash(name) >> TOP].get(name)
        if place is None:
            return
        segment = place.chain
        if segment is self._probation:
            segment.remove(place)
            self._protect(place)
        else:
            segment.renew(place)
        self._sketch.add(name)

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        victims: list[Hashable] = []
        known = self._places.get(name)
        if known is not None:
            self._reprice(known, cost_bytes, victims)
            return victims
        self._sketch.add(name)
        if cost_bytes > self._window_share:
            missing = self.used_bytes + cost_bytes - self.budget_bytes
            if not self._wins(name, missing):
                return None
            self._make_room(missing, victims)
            place = self._places[name] = Place(name, cost_bytes)
            self._probation.add(place)
        else:
            place = self._places[name] = Place(name, cost_bytes)
            self._window.add(place)
            self._settle(victims)
        self._sketch.fit(len(self))
        return victims

    def forget(self, name: Hashable) -> None:
        place = self._places.pop(name, None)
        if place is not None:
            place.chain.remove(place)

    def __len__(self) -> int:
        return len(self._window) + len(self._probation) + len(self._protected)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __repr__(self) -> str:
        parts = f"{len(self._window)} window, {len(self._probation)} probation, {len(self._protected)} protected"
        return f"<TinyLFU {parts}, {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        segments = (self._window, self._probation, self._protected)
        for segment in segments:
            segment.check()
        places = [place for segment in segments for place in segment]
        assert len(places) == len(self._places), "a name in two segments"  # noqa: S101
        assert {place.name: place for place in places} == dict(self._places)  # noqa: S101
        assert self._window.bytes <= self._window_share  # noqa: S101
        assert self._protected.bytes <= self._protected_share  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101

    def _protect(self, place: Place) -> None:
        """To the warm end of the protected segment; who has no room there is on probation again."""
        protected = self._protected
        protected.add(place)
        while protected.bytes > self._protected_share:
            self._probation.add(protected.pop())

    def _reprice(self, place: Place, cost_bytes: int, victims: list[Hashable]) -> None:
        """A known name at its new cost. It contests nothing: its place is its own."""
        segment = place.chain
        if cost_bytes <= place.cost_bytes:
            segment.reprice(place, cost_bytes)
            return
        segment.remove(place)
        self._make_room(self.used_bytes + cost_bytes - self.budget_bytes, victims)
        place.cost_bytes = cost_bytes
        if segment is self._protected:
            self._protect(place)
        elif segment is self._window and cost_bytes <= self._window_share:
            segment.add(place)
            self._settle(victims)
        else:
            self._probation.add(place)

    def _settle(self, victims: list[Hashable]) -> None:
        """Nobody is in the window above its share, nor anybody above the budget."""
        window = self._window
        while window.bytes > self._window_share:
            missing = self.used_bytes - self.budget_bytes
            candidate = window.pop()
            if self._wins(candidate.name, missing):
                self._make_room(missing, victims)
                self._probation.add(candidate)
            else:
                del self._places[candidate.name]
                victims.append(candidate.name)
        # The window had not reached its share yet, and the main part gives back what it had borrowed.
        self._make_room(self.used_bytes - self.budget_bytes, victims)

    def _wins(self, candidate: Hashable, missing_bytes: int) -> bool:
        """Was it asked for more often than all that would leave for it together? Without victims it wins."""
        if missing_bytes <= 0:
            return True
        frequency = self._sketch.estimate(candidate)
        looks = _LOOKS
        for segment in (self._probation, self._protected, self._window):
            for victim in segment:
                frequency -= self._sketch.estimate(victim.name)
                if frequency <= 0:
                    return False
                missing_bytes -= victim.cost_bytes
                looks -= 1
                if missing_bytes <= 0 or not looks:
                    return True
        return True

    def _make_room(self, missing_bytes: int, victims: list[Hashable]) -> None:
        """The coldest leave until so many bytes are free."""
        while missing_bytes > 0:
            segment = next(each for each in (self._probation, self._protected, self._window) if len(each))
            coldest = segment.pop()
            del self._places[coldest.name]
            missing_bytes -= coldest.cost_bytes
            victims.append(coldest.name)
