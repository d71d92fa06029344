"""Members by what they have in common: tag to objects, URL to keys.

A group takes no room before its first member and after its last; one of a single member, of which there are often as
many as members, is held without a set around it: 230 bytes each. No step is longer because a group is large, but to be
told all of its members.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from seawall.store.shards import TOP, Crowd, Shards

# A set of so many becomes a Crowd, which adds 0.3 us slower and is never written anew as a whole. The next time would
# take 0.1 ms, and the one after it 0.4; but tags that grow side by side, as when a site is fetched for the first time,
# are full in the same moment: with 32,768 here, a hundred of them took 30 ms and 40 MB at their 4,915th member.
MOST_TOGETHER = 1024

M = TypeVar("M", bound=Hashable)


class Groups(Generic[M]):
    """Word to members. A member is neither a set nor a Crowd."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: Shards[str, M | set[M] | Crowd[M]] = Shards()

    def add(self, word: str, member: M) -> None:
        groups = self._groups.dicts[hash(word) >> TOP]
        group = groups.setdefault(word, member)
        if group is member:
            return
        if isinstance(group, set):
            group.add(member)
            if len(group) > MOST_TOGETHER:
                groups[word] = Crowd(group)
        elif isinstance(group, Crowd):
            group.add(member)
        elif group != member:
            groups[word] = {group, member}

    def remove(self, word: str, member: M) -> None:
        """Members that are not in it, and words that nobody has, are ignored."""
        groups = self._groups
        group = groups.get(word)
        if isinstance(group, set):
            group.discard(member)
            if len(group) == 1:
                groups[word] = group.pop()
        elif isinstance(group, Crowd):
            group.discard(member)
            if not group:
                del groups[word]
        elif group is not None and group == member:
            del groups[word]

    def remove_all(self, leaving: Iterable[tuple[M, Iterable[str]]]) -> None:
        """Members with their words: as remove() for each, but who has a word in common leaves it in one step."""
        dicts = self._groups.dicts
        together: dict[str, list[M]] = {}
        for member, words in leaving:
            for word in words:
                groups = dicts[hash(word) >> TOP]
                group = groups.get(word)
                if group is member:
                    del groups[word]
                elif group is not None:
                    together.setdefault(word, []).append(member)
        for word, members in together.items():
            group = self._groups.get(word)
            if isinstance(group, set):
                group.difference_update(members)
                if not group:
                    del self._groups[word]
                elif len(group) == 1:
                    self._groups[word] = group.pop()
            else:  # a Crowd; or one member that is another, or equal
                for member in members:
                    self.remove(word, member)

    def members(self, word: str) -> Iterable[M]:
        """All of them, while none comes or goes."""
        group = self._groups.get(word)
        if group is None:
            return ()
        return group if isinstance(group, (set, Crowd)) else (group,)

    def clear(self) -> None:
        self._groups.clear()

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def __len__(self) -> int:
        """How many words somebody has."""
        return len(self._groups)

    def check(self) -> None:
        """Raises AssertionError where a group is held in another way than its size asks for."""
        for word in self:
            group = self._groups[word]
            if isinstance(group, set):
                assert 2 <= len(group) <= MOST_TOGETHER, f"{word!r} is a set of {len(group)}"  # noqa: S101
            elif isinstance(group, Crowd):
                assert group, f"{word!r} is left over"  # noqa: S101
