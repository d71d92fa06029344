"""What every eviction policy promises, whatever it prefers: one suite over all of them, check() after each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.config.schema import Eviction as Word
from seawall.store.eviction.protocol import Eviction
from seawall.store.eviction.words import DEFAULT, WORDS, build

NEVER = None


class Minutes:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def built(word: str, budget_bytes: int, minutes: Callable[[], int] = lambda: 0) -> Eviction:
    return build(word, budget_bytes, chance=lambda: 0.5, minutes=minutes)


every_policy = pytest.mark.parametrize("word", WORDS)


@dataclass
class Model:
    """The plainest thing that keeps the law: what is in, and what it costs."""

    policy: Eviction
    costs: dict[object, int] = field(default_factory=dict)

    def admit(self, name: int, cost_bytes: int, expires_at: float | None) -> None:
        others = self.policy.used_bytes - self.costs.get(name, 0)
        victims = self.policy.admit(name, cost_bytes, expires_at)
        fits = others + cost_bytes <= self.policy.budget_bytes
        grows = cost_bytes > self.costs.get(name, -1)
        if victims is None:
            assert not fits, "what fits is never refused"
            assert grows, "what does not grow is never refused"
        else:
            assert cost_bytes <= self.policy.budget_bytes
            assert not (fits and victims), "what fits sends nobody away"
            assert len(victims) == len(set(victims)), "nobody leaves twice"
            assert name not in victims
            assert set(victims) <= set(self.costs)
            for victim in victims:
                del self.costs[victim]
            self.costs[name] = cost_bytes
        self.check()

    def touch(self, name: int) -> None:
        self.policy.touch(name)
        self.check()

    def forget(self, name: int) -> None:
        self.policy.forget(name)
        self.costs.pop(name, None)
        self.check()

    def check(self) -> None:
        self.policy.check()
        assert [name for name in range(NAMES) if name in self.policy] == sorted(self.costs, key=str)
        assert len(self.policy) == len(self.costs)
        assert self.policy.used_bytes == sum(self.costs.values()) <= self.policy.budget_bytes


NAMES = 9
HISTORY = st.lists(
    st.one_of(
        st.tuples(
            st.just("admit"),
            st.integers(0, NAMES - 1),
            st.one_of(st.integers(0, 12), st.integers(0, 1100)),
            st.one_of(st.none(), st.floats(0, 10)),
        ),
        st.tuples(st.just("touch"), st.integers(0, NAMES - 1)),
        st.tuples(st.just("forget"), st.integers(0, NAMES - 1)),
        st.tuples(st.just("wait"), st.integers(1, 300)),
    ),
    max_size=80,
)


@every_policy
@settings(max_examples=150)
@given(budget_bytes=st.sampled_from([0, 1, 10, 40, 1000]), history=HISTORY)
def test_law_holds_after_any_history(word: str, budget_bytes: int, history: list[tuple[object, ...]]) -> None:
    minutes = Minutes()
    model = Model(built(word, budget_bytes, minutes))
    for step in history:
        match step:
            case ("admit", int(name), int(cost), expires_at):
                assert expires_at is None or isinstance(expires_at, float)
                model.admit(name, cost, expires_at)
            case ("touch", int(name)):
                model.touch(name)
            case ("forget", int(name)):
                model.forget(name)
            case ("wait", int(more)):
                minutes.now += more
                model.check()
    for name in range(NAMES):
        model.forget(name)
    assert (len(model.policy), model.policy.used_bytes) == (0, 0)


@every_policy
@pytest.mark.parametrize("names", [1000, 5000])
def test_law_holds_for_many_names_under_pressure(word: str, names: int) -> None:
    """Long enough for segments, ghosts, growing sketches and cleaned heaps to come into it."""
    policy = built(word, 100_000)
    inside: set[object] = set()
    for step in range(4 * names):
        name = step * 7919 % names if step % 3 else step % 50
        if name in policy:
            policy.touch(name)
        victims = policy.admit(name, 1 + name % 400, float(step % 97))
        if victims is not None:
            assert set(victims) <= inside
            inside = (inside - set(victims)) | {name}
        if step % 11 == 0:
            policy.forget(name)
            inside.discard(name)
        if step % 500 == 0:
            policy.check()
    policy.check()
    assert len(policy) == len(inside)
    assert all(name in policy for name in inside)


@every_policy
def test_everything_is_there_as_long_as_it_fits(word: str) -> None:
    policy = built(word, 100)
    assert [policy.admit(name, 10, 1.0) for name in range(10)] == [[]] * 10
    assert (len(policy), policy.used_bytes) == (10, 100)
    policy.check()


@every_policy
def test_what_is_larger_than_the_budget_is_refused_and_changes_nothing(word: str) -> None:
    policy = built(word, 100)
    policy.admit("kept", 60, 1.0)
    assert policy.admit("new", 101, 1.0) is None
    assert policy.admit("kept", 101, 1.0) is None
    assert "kept" in policy
    assert "new" not in policy
    assert (len(policy), policy.used_bytes) == (1, 60)
    policy.check()


@every_policy
def test_object_of_exactly_the_budget_comes_in(word: str) -> None:
    policy = built(word, 100)
    assert policy.admit("all", 100, 1.0) == []
    assert policy.used_bytes == 100
    policy.check()


@every_policy
def test_forgotten_is_gone_and_may_come_again(word: str) -> None:
    policy = built(word, 100)
    policy.admit("a", 100, 1.0)
    policy.touch("a")
    policy.forget("a")
    policy.forget("a")
    policy.touch("a")
    assert "a" not in policy
    assert (len(policy), policy.used_bytes) == (0, 0)
    assert policy.admit("a", 100, 1.0) == []
    assert "a" in policy
    policy.check()


@every_policy
def test_known_name_takes_its_new_cost_and_stands_there_once(word: str) -> None:
    policy = built(word, 100)
    for cost in (50, 50, 20, 90, 100, 0):
        assert policy.admit("a", cost, 1.0) == []
        assert (len(policy), policy.used_bytes) == (1, cost)
        policy.check()


@every_policy
def test_only_noeviction_and_the_volatile_ones_refuse_what_the_others_make_room_for(word: str) -> None:
    """tinylfu too, until a newcomer was asked for more often than what it has."""
    policy = built(word, 100)
    for name in range(10):
        policy.admit(name, 10, NEVER)
    answers = [policy.admit("new", 10, 1.0) for _ in range(3)]
    refuses = word in ("noeviction", "volatile-lru", "volatile-ttl")
    assert ("new" in policy) is not refuses
    assert answers[0] == (None if refuses or word == "tinylfu" else [0])
    policy.check()


def test_words_are_those_of_the_configuration() -> None:
    assert set(WORDS) == {word.value for word in Word}
    assert DEFAULT in WORDS
    with pytest.raises(ValueError, match="'lru' is no eviction policy: noeviction, "):
        build("lru", 100)
