"""Which objects carry a tag: exact match only, so that purging `items` never touches `items/1` (HAZARDS T65).

In step with the store that owns it: every change of one is a change of the other. A tag without
objects takes no room; an object without tags has no entry (HAZARDS T64).
"""

from __future__ import annotations

from collections.abc import Iterable

from seawall.store.stored import Stored


class TagIndex:
    """Tag to objects. An object may carry any number of tags; policy bounds their octets."""

    __slots__ = ("_tagged",)

    def __init__(self) -> None:
        self._tagged: dict[str, set[Stored]] = {}

    def add(self, item: Stored, tags: Iterable[str]) -> None:
        for tag in tags:
            self._tagged.setdefault(tag, set()).add(item)

    def remove(self, item: Stored, tags: Iterable[str]) -> None:
        for tag in tags:
            items = self._tagged.get(tag)
            if items is None:
                continue
            items.discard(item)
            if not items:
                del self._tagged[tag]

    def tagged(self, tag: str) -> frozenset[Stored]:
        """The objects that carry exactly this tag."""
        return frozenset(self._tagged.get(tag, ()))

    def __len__(self) -> int:
        """How many distinct tags are in use."""
        return len(self._tagged)

    def check(self, items: Iterable[Stored]) -> None:
        """Raises AssertionError unless the index says of these objects exactly what their entries say."""
        expected: dict[str, set[Stored]] = {}
        for item in items:
            for tag in item.entry.tags:
                expected.setdefault(tag, set()).add(item)
        assert expected == self._tagged  # noqa: S101
