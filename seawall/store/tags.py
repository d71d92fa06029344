"""Which objects carry a tag: exact match only, so that purging `items` never touches `items/1` (HAZARDS T65).

In step with the store that owns it: every change of one is a change of the other. A tag without
objects takes no room; an object without tags has no entry (HAZARDS T64).
"""

from __future__ import annotations

from collections.abc import Iterable

from seawall.store.groups import Groups
from seawall.store.stored import Stored


class TagIndex:
    """Tag to objects. An object may carry any number of tags; policy bounds their octets."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: Groups[Stored] = Groups()

    def add(self, item: Stored) -> None:
        for tag in item.entry.tags:
            self._groups.add(tag, item)

    def remove(self, item: Stored) -> None:
        for tag in item.entry.tags:
            self._groups.remove(tag, item)

    def remove_all(self, items: Iterable[Stored]) -> None:
        self._groups.remove_all((item, item.entry.tags) for item in items)

    def tagged(self, tag: str) -> frozenset[Stored]:
        """The objects that carry exactly this tag."""
        return frozenset(self.members(tag))

    def members(self, tag: str) -> Iterable[Stored]:
        """The same, each once, while none comes or goes: a third of the time."""
        return self._groups.members(tag)

    def __len__(self) -> int:
        """How many distinct tags are in use."""
        return len(self._groups)

    def check(self, items: Iterable[Stored]) -> None:
        """Raises AssertionError unless the index says of these objects exactly what their entries say."""
        expected: dict[str, set[Stored]] = {}
        for item in items:
            for tag in item.entry.tags:
                expected.setdefault(tag, set()).add(item)
        self._groups.check()
        assert expected == {tag: set(self._groups.members(tag)) for tag in self._groups}  # noqa: S101
