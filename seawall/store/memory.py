"""The memory level: every variant of every key in one process, under a budget that counts index and overhead.

Synchronous, so that a hit can be answered where the octets arrive. Knows no clock and no HTTP beyond
the entries it is given.
Invariant: bucket, order and tag index hold exactly the same objects; check() says where they do not.

Of an order that meets many at once only the word is atomic: each is marked (overtake()), and nobody finds it as it was.
catch_up() carries the order out on so many at a time, and who looks for one of them before that, on that one. It is
marked in the object itself, because that alone is one look into main memory each; a key, a bucket and an index are ten.
And of an order on everything that begins with something, not even that: it stands beside the objects (ban()).

Nothing here or in what it is made of is ever written anew as a whole (shards.py): with a million objects no put, get
or touch takes 5 ms, however many others are here. What takes as long as there are objects to it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from seawall.policy.entry import Entry
from seawall.store import arena
from seawall.store.arena import open_arena
from seawall.store.bans import Ban
from seawall.store.eviction import words
from seawall.store.groups import Groups
from seawall.store.shards import SHARDS, TOP, Shards
from seawall.store.stored import MOST_USES, Overtaken, Stored, key_of, stored
from seawall.store.tags import TagIndex


class MemoryStore:
    """Owner of every stored object of this process. `evicted` and `refused` only ever grow.

    `eviction` is one of the configuration's words: who leaves, and under some policies who may not come in.
    """

    __slots__ = ("_arena", "_buckets", "_eviction", "_extended", "_order", "_overtaken", "bans", "evicted",
                 "refused", "tags")  # fmt: skip

    def __init__(self, budget_bytes: int, eviction: str = words.DEFAULT) -> None:
        # Nearly every key has one object, and a tuple around it is 64 bytes.
        self._buckets: Shards[str, Stored | tuple[Stored, ...]] = Shards()
        # URL to the keys that say more than the URL. Most routes have none, and then this is empty.
        self._extended: Groups[str] = Groups()
        self._eviction = eviction
        self._order = words.build(eviction, budget_bytes, more_uses=self._more_uses)
        self.tags = TagIndex()
        self._arena = open_arena()
        # Whom orders have met and who may still be where they were. Some of them have left since.
        self._overtaken: list[Stored] = []
        # What is not carried out on everything yet, in the order in which it came. Always the same list.
        self.bans: list[Ban] = []
        self.evicted = 0
        self.refused = 0

    def get(self, key: str) -> tuple[Stored, ...]:
        """All variants and parts under the key; () where there are none."""
        found = self._buckets.dicts[hash(key) >> TOP].get(key, ())
        if found and (self._overtaken or self.bans):
            return self._caught_up(key)
        return found if isinstance(found, tuple) else (found,)

    @property
    def touching(self) -> Callable[[str], None] | None:
        """For who has looked into the buckets and counts uses in the object (Stored.uses): what is to be told of each
        by name as well. None: nothing. Not to be kept over a close()."""
        return None if self._eviction in words.ASKING else self._order.touch

    @property
    def buckets(self) -> Shards[str, Stored | tuple[Stored, ...]]:
        """What is stored by key, for who looks at every hit: one object, or several in a tuple; some may be
        Overtaken. Not to be kept over a close()."""
        return self._buckets

    def touch(self, item: Stored) -> None:
        """It was served."""
        if self._eviction not in words.ASKING:
            self._order.touch(item.name)
        elif item.uses < MOST_USES:
            item.uses += 1

    def put(self, item: Stored) -> bool:
        """Takes it in, in place of what it supersedes.

        False: larger than the whole budget, or the policy would rather keep what it has; nothing changed.
        """
        known = bool(self.get(item.key)) and item.name in self._order
        if not self._take_in(item):
            return False
        if known:  # asked for again, after it had become stale
            self.touch(item)
        return True

    def refresh(self, old: Stored, entry: Entry) -> Stored | None:
        """The same body under a new entry.

        None: `old` has left or changed meanwhile, and is not revived (T28); or the new one had to stay outside,
        and then `old` has left too, because what it said is no longer true.
        """
        if old not in self.get(old.key):
            return None
        new = stored(old.key, entry, old.held)
        if new.name != old.name:
            self._remove(old)
        if self._take_in(new):
            return new
        self.discard(old)
        return None

    def change(self, key: str, how: Callable[[Entry], Entry]) -> int:
        """Every entry of the key as `how` would have it; how many there were."""
        items = self.get(key)
        for item in items:
            self.refresh(item, how(item.entry))
        return len(items)

    def drop(self, key: str) -> int:
        """All variants and parts of the key are gone; how many there were."""
        items = self.get(key)
        for item in items:
            self._remove(item)
        return len(items)

    def discard(self, item: Stored) -> None:
        """This one is gone, if it was there."""
        if item in self.get(item.key):
            self._remove(item)

    def discard_all(self, items: Iterable[Stored]) -> None:
        """These are gone, those of them that were there. What many have in common is looked up once."""
        dicts, forget = self._buckets.dicts, self._order.forget
        leaving: list[Stored] = []
        for item in items:
            key = item.key
            bucket = dicts[hash(key) >> TOP]
            found = bucket.pop(key, None)
            if found is item:
                if "\n" in key:
                    self._unextend(key)
            elif found is None:
                continue
            else:
                bucket[key] = found
                if not isinstance(found, tuple) or item not in found:
                    continue
                self._unbucket(item)
            if self.bans:
                self._leave_bans(item)
            forget(item.name)
            leaving.append(item)
        self.tags.remove_all(leaving)

    def overtake(self, items: Iterable[Stored], how: Callable[[Entry], Entry] | None) -> None:
        """None of these is found any more as it is: it is gone (None), or its entry is as `how` would have it.

        0.2 us each. They are held here. They take room, and count as objects, until catch_up() came to them.
        """
        given = Overtaken(how)
        waiting, bans = self._overtaken, self.bans
        for item in items:
            if bans or isinstance(item.hot, Overtaken):
                self._mark(item, [*self._meet_bans(item), how], given)
            else:  # a call for each would be half as much again
                item.hot = given
                waiting.append(item)

    def _mark(self, item: Stored, said: Sequence[Callable[[Entry], Entry] | None], given: Overtaken) -> None:
        """`given` is the mark where its `how` is all that is said."""
        before = item.hot
        if isinstance(before, Overtaken):
            if before.how is not None:
                item.hot = _composed([before.how, *said])
        else:
            item.hot = given if len(said) == 1 else _composed(said)
            self._overtaken.append(item)

    def ban(self, prefixes: tuple[str, ...], how: Callable[[Entry], Entry] | None, *, named: bool = False) -> Ban:
        """Nothing under a key that begins with one of these is found any more as it is (Ban); as overtake(), in no time
        at all. catch_up() walks through them: in 3 us each they are all marked and counted, and the ban is over."""
        ban = Ban(prefixes, how, named=named)
        self.bans.append(ban)
        return ban

    def catch_up(self, most: int) -> bool:
        """Carries out on so many what overtake() and ban() have said; are there more? 10 us each where they go, 30
        else."""
        if self.bans:
            return self._walk(10 * most)
        waiting, leaving = self._overtaken, []
        for _ in range(min(most, len(waiting))):
            item = waiting.pop()
            mark = item.hot
            if not isinstance(mark, Overtaken):
                continue
            if mark.how is None:
                leaving.append(item)
            else:
                self._carry_out(item)
        self.discard_all(leaving)
        if waiting:
            return True
        self._overtaken = []  # a list keeps its length
        return False

    def tagged(self, tag: str) -> list[Stored]:
        """The objects that carry exactly this tag."""
        return self._without_gone(self.tags.members(tag))

    def beginning_with(self, prefixes: tuple[str, ...]) -> list[Stored]:
        """The objects under all keys that begin with one of these."""
        held: list[Stored] = []
        for bucket in self._buckets.dicts:
            held += self._beginning_with(bucket, prefixes)
        return self._without_gone(held)

    def keys_of(self, url: str) -> tuple[str, ...]:
        """Every key of a URL: its own, and those that a route extended by headers or cookies."""
        own = (url,) if url in self._buckets else ()
        return (*own, *self._extended.members(url))

    def keys(self) -> Iterator[str]:
        """A snapshot of all keys, also of those under which all is Overtaken."""
        return iter(tuple(self._buckets))

    def items(self) -> list[Stored]:
        """A snapshot of everything: 0.1 us each."""
        return self._without_gone(self._everything())

    def served(self, names: Sequence[str]) -> list[str]:
        """Those of these names that are here."""
        return [name for name in names if name in self._order]

    def close(self) -> None:
        """Everything is let go."""
        self._buckets.clear()
        self._extended.clear()
        self._end_bans()
        self._order = words.build(self._eviction, self._order.budget_bytes, more_uses=self._more_uses)
        self.tags = TagIndex()
        self._overtaken = []

    @property
    def used_bytes(self) -> int:
        return self._order.used_bytes

    @property
    def budget_bytes(self) -> int:
        return self._order.budget_bytes

    def __len__(self) -> int:
        """Objects, a variant or part counted as one."""
        return len(self._order)

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self)} objects {self.used_bytes}/{self.budget_bytes} bytes, {self._eviction}>"

    def check(self) -> None:
        """Raises AssertionError where bucket, order and tag index disagree."""
        self._order.check()
        items = self._everything()
        assert () not in self._buckets.values(), "an empty bucket is left over"  # noqa: S101
        assert len(items) == len(self._order)  # noqa: S101
        for item in items:
            assert item.name in self._order  # noqa: S101
            assert self._named(item.name) is item, "two objects of one name"  # noqa: S101
        waiting = set(self._overtaken)
        assert all(item in waiting for item in items if isinstance(item.hot, Overtaken))  # noqa: S101
        assert self.used_bytes == sum(item.cost_bytes for item in items)  # noqa: S101
        self.tags.check(items)
        self._extended.check()
        extended = {key: url for url in self._extended for key in self._extended.members(url)}
        assert extended == {key: key.partition("\n")[0] for key in self._buckets if "\n" in key}  # noqa: S101

    def _everything(self) -> list[Stored]:
        held: list[Stored] = []
        for bucket in self._buckets.dicts:
            for found in bucket.values():
                if isinstance(found, tuple):
                    held += found
                else:
                    held.append(found)
        return held

    @staticmethod
    def _beginning_with(bucket: dict[str, Stored | tuple[Stored, ...]], prefixes: tuple[str, ...]) -> list[Stored]:
        held: list[Stored] = []
        for key in [key for key in bucket if key.startswith(prefixes)]:
            found = bucket[key]
            if isinstance(found, tuple):
                held += found
            else:
                held.append(found)
        return held

    def _take_in(self, item: Stored) -> bool:
        entry = item.entry
        # What was invalidated is stale by now, whatever else it says.
        expires_at = entry.stored_at if entry.invalidated else entry.fresh_until
        cost_bytes = item.cost_bytes
        victims = self._order.admit(item.name, cost_bytes, expires_at)
        if victims is None:
            self.refused += 1
            return False
        for victim in victims:
            self._unfile(self._named(victim))
            self.evicted += 1
        for old in self._found(item.key):
            if supersedes(entry, old.entry):
                if old.name != item.name:
                    self._order.forget(old.name)
                elif old is not item:
                    item.uses = old.uses
                self._unfile(old)
        self._file(item)
        if cost_bytes >= arena.LEAST_BYTES:
            self._lay(item)
        return True

    def _lay(self, item: Stored) -> None:
        """A large body goes to where the kernel can send it from; who holds its pieces now keeps them."""
        held = item.held
        if self._arena is None or not isinstance(held, bytes | tuple):
            return
        if arena.LEAST_BYTES <= item.body_bytes <= arena.MOST_BYTES:
            item.held = self._arena.hold((held,) if isinstance(held, bytes) else held) or held

    def _remove(self, item: Stored) -> None:
        self._order.forget(item.name)
        self._unfile(item)

    def _named(self, name: Hashable) -> Stored:
        assert isinstance(name, str)  # noqa: S101 (we admit nothing else)
        # Nearly every name is its object's key, and nearly every key has one: 0.2 us for 1.2.
        found = self._buckets.dicts[hash(name) >> TOP].get(name)
        if isinstance(found, Stored) and found.name == name:
            return found
        return next(item for item in self._found(key_of(name)) if item.name == name)

    def _more_uses(self, name: Hashable) -> int:
        """For the order of eviction, which has counted them from now on."""
        item = self._named(name)
        uses = item.uses
        if uses:
            item.uses = 0
        return uses

    def _found(self, key: str) -> tuple[Stored, ...]:
        """All that stands under the key, also what is Overtaken."""
        found = self._buckets.dicts[hash(key) >> TOP].get(key, ())
        return found if isinstance(found, tuple) else (found,)

    def _caught_up(self, key: str) -> tuple[Stored, ...]:
        """As get(), after what was to be carried out on them."""
        for item in self._found(key):
            if isinstance(item.hot, Overtaken) or any(ban.awaits(item) for ban in self.bans):
                self._carry_out(item)
        return self._found(key)

    def _carry_out(self, item: Stored) -> None:
        """All that was said of it; unless it has left, or it was done while another of its key was."""
        if item not in self._found(item.key):
            return
        mark = item.hot
        said = [mark.how] if isinstance(mark, Overtaken) else []
        said += self._meet_bans(item)
        entry = item.entry
        for how in said:
            if how is None:
                self._remove(item)
                return
            entry = how(entry)
        if said:
            item.hot = None
            self.refresh(item, entry)

    def _meet_bans(self, item: Stored) -> list[Callable[[Entry], Entry] | None]:
        """What bans have still to say of this one, in their order. It is taken as said."""
        said: list[Callable[[Entry], Entry] | None] = []
        mark = item.hot
        gone = isinstance(mark, Overtaken) and mark.how is None
        for ban in self.bans:
            if ban.awaits(item):
                if gone:  # by an earlier order, and was not here any more when this one came
                    ban.exempt.add(item)
                else:
                    ban.meet(item)
                    said.append(ban.how)
                    gone = ban.how is None
        return said

    def _leave_bans(self, item: Stored) -> None:
        """It leaves. They count it, and hold it no longer."""
        self._meet_bans(item)
        for ban in self.bans:
            ban.exempt.discard(item)

    def _walk(self, most: int) -> bool:
        """Goes on with the first ban, for so many objects: each is marked (overtake()), and counted."""
        ban = self.bans[0]
        given = Overtaken(ban.how)
        while most > 0:
            if ban.left:
                item = ban.left.pop()
                if ban.awaits(item) and item in self._found(item.key) and (said := self._meet_bans(item)):
                    self._mark(item, said, given)
                    ban.walked.append(item)
                most -= 1
            elif ban.shard < SHARDS:
                bucket = self._buckets.dicts[ban.shard]
                ban.go_on(self._beginning_with(bucket, ban.prefixes))
                most -= 1 + len(bucket) // 10
            else:
                del self.bans[0]
                ban.end()
                break
        return bool(self.bans or self._overtaken)

    def _end_bans(self) -> None:
        bans = self.bans[:]
        self.bans.clear()
        for ban in bans:
            ban.end()

    def _without_gone(self, items: Iterable[Stored]) -> list[Stored]:
        """Those whom no order has met that they are to go by."""
        if self._overtaken:
            items = [item for item in items if not isinstance(item.hot, Overtaken) or item.hot.how is not None]
        final = [ban for ban in self.bans if ban.how is None]
        if final:
            return [item for item in items if not any(ban.awaits(item) for ban in final)]
        return list(items)

    def _file(self, item: Stored) -> None:
        key = item.key
        bucket = self._buckets.dicts[hash(key) >> TOP]
        others = bucket.get(key, ())
        if others:
            bucket[key] = (*others, item) if isinstance(others, tuple) else (others, item)
        else:
            bucket[key] = item
            if "\n" in key:
                self._extended.add(key.partition("\n")[0], key)
        self.tags.add(item)
        for ban in self.bans:
            ban.exempt.add(item)

    def _unfile(self, item: Stored) -> None:
        if self.bans:
            self._leave_bans(item)
        self._unbucket(item)
        self.tags.remove(item)

    def _unbucket(self, item: Stored) -> None:
        key = item.key
        bucket = self._buckets.dicts[hash(key) >> TOP]
        found = bucket[key]
        if isinstance(found, tuple):
            rest = tuple(other for other in found if other is not item)
            bucket[key] = rest if len(rest) > 1 else rest[0]
        else:
            del bucket[key]
            if "\n" in key:
                self._unextend(key)

    def _unextend(self, key: str) -> None:
        self._extended.remove(key.partition("\n")[0], key)


def _composed(said: Sequence[Callable[[Entry], Entry] | None]) -> Overtaken:
    """What comes of it when one thing is said after the other."""
    steps: list[Callable[[Entry], Entry]] = []
    for how in said:
        if how is None:
            return Overtaken(None)
        steps.append(how)

    def all_of_it(entry: Entry) -> Entry:
        for step in steps:
            entry = step(entry)
        return entry

    return Overtaken(all_of_it)


def supersedes(new: Entry, old: Entry) -> bool:
    """The same selecting fields; a whole response replaces its parts, a part only the same range."""
    if new.varied != old.varied:
        return False
    if new.part is None:
        return True
    return old.part is not None and (old.part.first, old.part.last) == (new.part.first, new.part.last)
