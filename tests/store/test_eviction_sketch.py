"""The sketch: never too low, and the same as if its halvings and its growth were done at once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.store.eviction.sketch import Sketch


def test_sketch_never_counts_too_little_and_seldom_too_much() -> None:
    sketch = Sketch()
    sketch.fit(2000)
    true = {f"name-{number}": number % 12 for number in range(2000)}
    for name, times in true.items():
        for _ in range(times):
            sketch.add(name)
    wrong = [name for name, times in true.items() if sketch.estimate(name) != times]
    assert all(sketch.estimate(name) >= times for name, times in true.items())
    assert len(wrong) < 60


def test_sketch_halves_what_it_counted_and_keeps_it_when_it_grows() -> None:
    sketch = Sketch()
    for _ in range(20):
        sketch.add("a")
    assert sketch.estimate("a") == 15
    before = len(sketch)
    sketch.fit(10_000)
    assert len(sketch) > before
    assert sketch.estimate("a") == 15
    number = 0
    while sketch.estimate("a") == 15:
        sketch.add(number % 7)
        number += 1
    assert sketch.estimate("a") == 7


class Plain:
    """The same counters in four plain lists, halved and widened at once."""

    def __init__(self) -> None:
        self.rows = [[0] * 1024 for _ in range(4)]
        self.left = 2 * 1024

    def places(self, name: int) -> list[int]:
        mixed = hash(name) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        return [(mixed >> 16) + row * (mixed >> 40 | 1) & len(self.rows[0]) - 1 for row in range(4)]

    def estimate(self, name: int) -> int:
        return min(row[place] for row, place in zip(self.rows, self.places(name), strict=True))

    def add(self, name: int) -> None:
        least = self.estimate(name)
        for row, place in zip(self.rows, self.places(name), strict=True):
            if row[place] == least < 15:
                row[place] += 1
        self.left -= 1
        if not self.left:
            self.rows = [[each // 2 for each in row] for row in self.rows]
            self.left = 2 * len(self.rows[0])

    def fit(self, names: int) -> None:
        while 4 * names > len(self.rows[0]):
            self.rows = [row + row for row in self.rows]
            self.left = 2 * len(self.rows[0])


NAMES = 40


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, NAMES - 1)),
            st.tuples(st.just("fit"), st.integers(1, 5000)),
            st.tuples(st.just("many"), st.integers(1, 3000)),
        ),
        max_size=25,
    )
)
def test_what_is_put_off_cannot_be_told_from_what_is_done(steps: list[tuple[str, int]]) -> None:
    sketch, plain = Sketch(), Plain()
    for deed, number in steps:
        if deed == "fit":
            sketch.fit(number)
            plain.fit(number)
        else:
            for each in [number] if deed == "add" else range(number):
                sketch.add(each % NAMES)
                plain.add(each % NAMES)
        assert [sketch.estimate(name) for name in range(number % 3, NAMES, 3)] == [
            plain.estimate(name) for name in range(number % 3, NAMES, 3)
        ]
    assert [sketch.estimate(name) for name in range(NAMES)] == [plain.estimate(name) for name in range(NAMES)]


def test_what_is_put_off_is_done_in_a_while() -> None:
    sketch = Sketch()
    sketch.fit(10_000)  # from 32 pieces to 64
    for number in range(32):
        assert sketch._former is not None
        sketch.add(number)
    assert sketch._former is None
