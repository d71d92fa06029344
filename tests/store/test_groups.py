"""Members by what they have in common: as a dict of sets, held in as little as there is."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.store import groups as groups_module
from seawall.store.groups import Groups
from seawall.store.shards import Crowd


@pytest.fixture(autouse=True, scope="module")
def crowds_of_four() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(groups_module, "MOST_TOGETHER", 3)
    yield
    patch.undo()


WORDS = st.sampled_from("abc")
MEMBERS = st.integers(0, 7)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["add", "remove"]), WORDS, MEMBERS),
            st.tuples(st.just("leave"), st.lists(st.tuples(MEMBERS, st.lists(WORDS, max_size=4)), max_size=8)),
        ),
        max_size=60,
    )
)
def test_groups_are_a_dict_of_sets(steps: list[tuple[object, ...]]) -> None:
    groups: Groups[int] = Groups()
    plain: defaultdict[str, set[int]] = defaultdict(set)
    for step in steps:
        match step:
            case ("add", str(word), int(member)):
                groups.add(word, member)
                plain[word].add(member)
            case ("remove", str(word), int(member)):
                groups.remove(word, member)
                plain[word].discard(member)
            case ("leave", list(leaving)):
                groups.remove_all(leaving)
                for member, words in leaving:
                    for word in words:
                        plain[word].discard(member)
        groups.check()
        assert {word: set(groups.members(word)) for word in groups} == {
            word: each for word, each in plain.items() if each
        }
        assert all(len(list(groups.members(word))) == len(plain[word]) for word in "abc")
        assert len(groups) == sum(map(bool, plain.values()))


def test_large_group_is_a_crowd_until_it_is_empty() -> None:
    groups: Groups[int] = Groups()
    for member in range(4):
        groups.add("a", member)
    assert isinstance(groups.members("a"), Crowd)
    groups.remove_all([(member, ("a", "b")) for member in range(4)])
    assert list(groups) == []
