"""What policies keep their names in, held against the plainest thing that does the same; check() after each step."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.store.eviction import dues as dues_module
from seawall.store.eviction import rows as rows_module
from seawall.store.eviction.chain import Chain, Place
from seawall.store.eviction.dues import Due, Dues
from seawall.store.eviction.rows import SEGMENT, USES, Register, Row


@pytest.fixture(autouse=True, scope="module")
def short() -> Iterator[None]:
    """Segments of four and pieces of four, so that a few names fill several."""
    patch = pytest.MonkeyPatch()
    patch.setattr(rows_module, "SEGMENT", 4)
    patch.setattr(dues_module, "_MOST", 4)
    yield
    patch.undo()


NAMES = st.integers(0, 12)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "leave", "pop", "use", "price", "renew"]), NAMES, st.integers(0, 99)),
    max_size=120,
)


def stands(row: Row, plain: OrderedDict[int, tuple[int, int]]) -> None:
    row.check()
    assert list(row.items()) == [(name, *told) for name, told in plain.items()]
    assert (len(row), row.bytes) == (len(plain), sum(cost for cost, _ in plain.values()))


@settings(max_examples=300)
@given(STEPS)
def test_rows_are_ordered_dicts(steps: list[tuple[str, int, int]]) -> None:
    """Two of them over one register: even names enter one, odd ones the other, and what is popped changes over."""
    register = Register(99)
    rows = Row(register), Row(register)
    plains: tuple[OrderedDict[int, tuple[int, int]], ...] = OrderedDict(), OrderedDict()
    for deed, name, cost in steps:
        home = next((at for at in (0, 1) if name in plains[at]), None)
        if deed == "add" and home is None:
            rows[name % 2].add(name, cost, cost % 4)
            plains[name % 2][name] = cost, cost % 4
        elif deed == "pop" and plains[name % 2]:
            popped = rows[name % 2].pop()
            oldest, (price, uses) = plains[name % 2].popitem(last=False)
            assert popped == (oldest, price, uses)
            rows[1 - name % 2].add(*popped)
            plains[1 - name % 2][oldest] = price, uses
        elif home is not None:
            price, uses = plains[home][name]
            assert rows[home].holds(register.get(name))
            assert not rows[1 - home].holds(register.get(name))
            if deed == "leave":
                record = register.take(name)
                assert not rows[1 - home].leave(name, record)
                assert rows[home].leave(name, record)
                del plains[home][name]
            elif deed == "price":
                rows[home].reprice(name, cost)
                plains[home][name] = cost, uses
            elif deed == "use" and uses < USES:
                register.records[hash(name) >> register.top][name] += 1
                plains[home][name] = price, uses + 1
        for row, plain in zip(rows, plains, strict=True):
            stands(row, plain)
        assert set(register) == {*plains[0], *plains[1]}


def test_places_that_were_left_are_given_back() -> None:
    """A name of 8 KiB must not be held by a queue that it has left, but beside as many as stand there."""
    register = Register(1)
    row = Row(register)
    for name in range(1000):
        row.add(name, 1)
    for name in range(1000):
        if name % 4:
            row.leave(name, register.take(name))
            row.check()
    assert sum(len(segment.names) for segment in row._segments.values()) <= 2 * len(row)
    for name in range(0, 1000, 4):
        row.leave(name, register.take(name))
    assert len(row._segments) <= 1


def test_record_of_an_ordinary_object_is_a_small_int() -> None:
    """Of 32 bytes, with a budget of 1 GiB and after a billion names."""
    assert 10**9 // SEGMENT << Register(1 << 30).number_at < 1 << 60


@settings(max_examples=200)
@given(STEPS)
def test_chain_is_an_ordered_dict(steps: list[tuple[str, int, int]]) -> None:
    chain, plain = Chain(), OrderedDict[int, int]()
    places: dict[int, Place] = {}
    for deed, name, cost in steps:
        if deed == "add" and name not in places:
            places[name] = Place(name, cost)
            chain.add(places[name])
            plain[name] = cost
        elif deed == "pop" and plain:
            popped = chain.pop()
            assert (popped.name, popped.cost_bytes) == plain.popitem(last=False)
            assert isinstance(popped.name, int)
            assert places.pop(popped.name) is popped
        elif name in places and deed == "leave":
            chain.remove(places.pop(name))
            del plain[name]
        elif name in places and deed == "renew":
            chain.renew(places[name])
            plain.move_to_end(name)
        elif name in places and deed == "price":
            chain.reprice(places[name], cost)
            plain[name] = cost
        chain.check()
        assert [(place.name, place.cost_bytes) for place in chain] == list(plain.items())
        assert (len(chain), chain.bytes) == (len(plain), sum(plain.values()))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["add", "add", "remove"]), st.integers(0, 5)), max_size=80))
def test_dues_are_a_sorted_list(steps: list[tuple[str, int]]) -> None:
    dues, plain = Dues(), list[Due]()
    for number, (deed, at) in enumerate(steps):
        if deed == "add":
            due = Due(float(at), number, "name", 1)
            dues.add(due)
            insort(plain, due)
        elif plain:
            dues.remove(plain.pop(at * len(plain) // 6))
        dues.check()
        assert list(dues) == plain
        assert len(dues) == len(plain)
        if plain:
            assert dues.first() is plain[0]
