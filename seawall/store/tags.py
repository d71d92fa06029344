"""Which objects carry a tag: exact match only, so that purging `items` never touches `items/1` (HAZARDS T65).

In step with the store that owns it: every change of one is a change of the other. A tag without
objects takes no room; an object without tags has no entry (HAZARDS T64).
"""

from __future__ import annotations

from collections.abc import Iterable

from seawall.store.stored import Stored


class TagIndex:
    """Tag to objects. An object may carry any number of tags; policy bounds their octets.

    A tag of one object, of which there are often as many as objects, is held without a set: 230 bytes each.
    """

    __slots__ = ("_tagged",)

    def __init__(self) -> None:
        self._tagged: dict[str, Stored | set[Stored]] = {}

    def add(self, item: Stored, tags: Iterable[str]) -> None:
        tagged = self._tagged
        for tag in tags:
            others = tagged.setdefault(tag, item)
            if isinstance(others, set):
                others.add(item)
            elif others is not item:
                tagged[tag] = {others, item}

    def remove(self, item: Stored, tags: Iterable[str]) -> None:
        tagged = self._tagged
        for tag in tags:
            items = tagged.get(tag)
            if items is item:
                del tagged[tag]
            elif isinstance(items, set):
                items.discard(item)
                if len(items) == 1:
                    tagged[tag] = items.pop()

    def tagged(self, tag: str) -> frozenset[Stored]:
        """The objects that carry exactly this tag."""
        items = self._tagged.get(tag)
        if items is None:
            return frozenset()
        return frozenset(items) if isinstance(items, set) else frozenset((items,))

    def __len__(self) -> int:
        """How many distinct tags are in use."""
        return len(self._tagged)

    def check(self, items: Iterable[Stored]) -> None:
        """Raises AssertionError unless the index says of these objects exactly what their entries say."""
        expected: dict[str, set[Stored]] = {}
        for item in items:
            for tag in item.entry.tags:
                expected.setdefault(tag, set()).add(item)
        assert expected == {tag: set(self.tagged(tag)) for tag in self._tagged}  # noqa: S101
