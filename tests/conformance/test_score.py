"""The runner counts as the suite does, and its rule lets nothing slip."""

from __future__ import annotations

import pytest

from tests.conformance.score import Kind, Outcome, Result, Test, grade, judge, read_catalogue, score


def a_test(test_id: str, kind: Kind = Kind.REQUIRED, depends_on: tuple[str, ...] = ()) -> Test:
    return Test(id=test_id, suite="s", name=test_id, kind=kind, depends_on=depends_on)


def graded(raw: dict[str, object], *tests: Test) -> dict[str, Result]:
    return grade({test.id: test for test in tests}, raw)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (True, Outcome.PASSED),
        (["Assertion", "Response 2 comes from cache"], Outcome.FAILED),
        (["Setup", "retry"], Outcome.SETUP),
        (["FetchError", "socket hang up"], Outcome.FAILED),
        (False, Outcome.FAILED),
    ],
)
def test_what_the_suite_said_is_the_outcome(said: object, outcome: Outcome) -> None:
    assert graded({"a": said}, a_test("a"))["a"].outcome is outcome


def test_a_test_without_report_has_not_passed() -> None:
    assert graded({}, a_test("a"))["a"].outcome is Outcome.UNTESTED


@pytest.mark.parametrize("below", [["Assertion", "no"], ["Setup", "no"], None])
def test_a_pass_does_not_count_when_what_it_builds_on_failed(below: object) -> None:
    raw: dict[str, object] = {"b": True, "c": True} | ({} if below is None else {"a": below})
    results = graded(raw, a_test("c", depends_on=("b",)), a_test("b", depends_on=("a",)), a_test("a"))
    assert [results[name].outcome for name in "bc"] == [Outcome.DEPENDENCY, Outcome.DEPENDENCY]


def test_the_catalogue_leaves_out_what_only_browsers_run() -> None:
    row = {"id": "a", "suite": "s", "name": "n", "kind": "check", "depends_on": ["b"], "browser_only": False}
    tests = read_catalogue([row, row | {"id": "b", "browser_only": True}])
    assert tests == {"a": Test(id="a", suite="s", name="n", kind=Kind.CHECK, depends_on=("b",))}


def test_a_kind_that_we_do_not_know_is_not_counted_as_another() -> None:
    row = {"id": "a", "suite": "s", "name": "n", "kind": "extra", "depends_on": [], "browser_only": False}
    with pytest.raises(ValueError, match="extra"):
        read_catalogue([row])


def test_the_score_is_by_kind() -> None:
    results = graded(
        {"a": True, "b": ["Assertion", ""], "c": True},
        a_test("a"),
        a_test("b"),
        a_test("c", Kind.OPTIMAL),
    )
    assert score(results) == {Kind.REQUIRED: (1, 2), Kind.OPTIMAL: (1, 1), Kind.CHECK: (0, 0)}


def test_a_whole_pass_is_good() -> None:
    results = graded(
        {"a": True, "o": True, "c": ["Assertion", ""]}, a_test("a"), a_test("o", Kind.OPTIMAL), a_test("c", Kind.CHECK)
    )
    assert judge(results, {}, ["a", "o"]).good


def test_a_required_failure_is_bad_unless_superseded_with_a_citation() -> None:
    results = graded({"a": ["Assertion", ""]}, a_test("a"))
    assert judge(results, {}, []).required == ["a"]
    assert not judge(results, {}, []).good
    assert judge(results, {"a": "RFC 9111 3.2: today otherwise"}, []).good
    unargued = judge(results, {"a": "we do not like it"}, [])
    assert unargued.unargued == ["a"]
    assert not unargued.good


@pytest.mark.parametrize("superseded", [{"a": "RFC 9111 3.2: x"}, {"gone": "RFC 9111 3.2: x"}])
def test_an_exception_that_is_none_is_bad(superseded: dict[str, str]) -> None:
    verdict = judge(graded({"a": True}, a_test("a")), superseded, [])
    assert verdict.stale == list(superseded)
    assert not verdict.good


@pytest.mark.parametrize("kind", list(Kind))
def test_what_passed_before_must_pass_whatever_its_kind(kind: Kind) -> None:
    results = graded({"a": ["Assertion", ""], "b": True}, a_test("a", kind), a_test("b", kind))
    verdict = judge(results, {"a": "RFC 9111 3.2: x"}, ["a", "b", "gone"])
    assert verdict.regressed == ["a", "gone"]
    assert not verdict.good


@pytest.mark.parametrize(("failing", "good"), [(1, True), (2, False)])
def test_of_the_optimal_tests_nineteen_in_twenty_pass(failing: int, good: bool) -> None:
    tests = [a_test(str(number), Kind.OPTIMAL) for number in range(20)]
    raw: dict[str, object] = {test.id: int(test.id) >= failing or ["Assertion", ""] for test in tests}
    assert judge(graded(raw, *tests), {}, []).good is good


def test_a_superseded_optimal_test_counts_neither_way() -> None:
    results = graded({"a": ["Assertion", ""], "b": True}, a_test("a", Kind.OPTIMAL), a_test("b", Kind.OPTIMAL))
    assert judge(results, {"a": "RFC 9110 13.1.3: x"}, []).optimal_rate == 1.0
