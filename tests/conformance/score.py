"""What a run of the suite amounts to: which tests passed, the score by kind, and whether that is good enough.

Knows no process, file or clock: a catalogue and results in, a verdict out.

Counting is the suite's own (its `determineTestResult`): a test that only browsers run does not count; one
whose dependency did not pass has not passed, whatever it said itself; a failure while the suite set the test
up is a failure too, by another name, because it proves nothing about a cache that passed it before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# An optimal test says what a good cache would do, not what RFC 9111 asks of every one.
OPTIMAL_GOAL = 0.95

# An exception rests on a sentence that can be looked up, or it is an excuse.
_CITATION = re.compile(r"\bRFC \d{4}\b")


class Kind(StrEnum):
    """What a test's failure would mean, in the suite's words."""

    REQUIRED = "required"
    OPTIMAL = "optimal"
    CHECK = "check"


class Outcome(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    SETUP = "setup"  # the exchange went wrong before the point of the test
    DEPENDENCY = "dependency"  # a test that this one builds on did not pass
    UNTESTED = "untested"  # the suite reported nothing for it


@dataclass(frozen=True, slots=True)
class Test:
    """One test of the suite, as its catalogue describes it."""

    id: str
    suite: str
    name: str
    kind: Kind
    depends_on: tuple[str, ...]

    __test__ = False  # for pytest: not a class of tests


@dataclass(frozen=True, slots=True)
class Result:
    """One test's outcome, with the suite's message where it did not pass."""

    test: Test
    outcome: Outcome
    message: str = ""

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is not as it must be; empty lists throughout are a pass."""

    required: list[str] = field(default_factory=list)  # required, failed, and not listed as superseded
    regressed: list[str] = field(default_factory=list)  # passed in the baseline, not now
    stale: list[str] = field(default_factory=list)  # an exception that is no longer one
    unargued: list[str] = field(default_factory=list)  # an exception without a citation
    optimal_rate: float = 1.0  # of the optimal tests that are not superseded

    @property
    def good(self) -> bool:
        complaints = self.required or self.regressed or self.stale or self.unargued
        return not complaints and self.optimal_rate >= OPTIMAL_GOAL


def read_catalogue(rows: Iterable[Mapping[str, object]]) -> dict[str, Test]:
    """The tests that reach a proxy, by id, in the suite's order. Raises ValueError for a kind we do not know."""
    tests: dict[str, Test] = {}
    for row in rows:
        if row["browser_only"]:
            continue
        depends_on = row["depends_on"]
        assert isinstance(depends_on, list)
        test = Test(
            id=str(row["id"]),
            suite=str(row["suite"]),
            name=str(row["name"]),
            kind=Kind(str(row["kind"])),
            depends_on=tuple(str(name) for name in depends_on),
        )
        tests[test.id] = test
    return tests


def grade(tests: Mapping[str, Test], raw: Mapping[str, object]) -> dict[str, Result]:
    """Every test's outcome. `raw` is the suite's report: true, or [name of the error, message]."""
    graded: dict[str, Result] = {}

    def of(test_id: str) -> Result | None:
        if test_id not in graded and test_id in tests:
            graded[test_id] = one(tests[test_id])
        return graded.get(test_id)

    def one(test: Test) -> Result:
        if test.id not in raw:
            return Result(test, Outcome.UNTESTED, "the suite reported nothing")
        for needed in test.depends_on:
            dependency = of(needed)
            if dependency is None or not dependency.passed:
                return Result(test, Outcome.DEPENDENCY, f"builds on {needed}, which did not pass")
        said = raw[test.id]
        if said is True:
            return Result(test, Outcome.PASSED)
        name, message = said if isinstance(said, list) and len(said) == 2 else ("unknown", said)
        return Result(test, Outcome.SETUP if name == "Setup" else Outcome.FAILED, str(message))

    for test_id in tests:
        of(test_id)
    return {test_id: graded[test_id] for test_id in tests}


def score(results: Mapping[str, Result]) -> dict[Kind, tuple[int, int]]:
    """Passed and total, by kind."""
    return {
        kind: (
            sum(result.passed for result in results.values() if result.test.kind is kind),
            sum(result.test.kind is kind for result in results.values()),
        )
        for kind in Kind
    }


def judge(results: Mapping[str, Result], superseded: Mapping[str, str], baseline: Iterable[str]) -> Verdict:
    """Holds a run against the rule: `superseded` says why an id may fail, `baseline` which ids passed before."""
    passed = {test_id for test_id, result in results.items() if result.passed}
    optimal = [
        result for result in results.values() if result.test.kind is Kind.OPTIMAL and result.test.id not in superseded
    ]
    return Verdict(
        required=[
            test_id
            for test_id, result in results.items()
            if result.test.kind is Kind.REQUIRED and not result.passed and test_id not in superseded
        ],
        regressed=sorted(set(baseline) - passed),
        stale=sorted(test_id for test_id in superseded if test_id in passed or test_id not in results),
        unargued=sorted(test_id for test_id, why in superseded.items() if not _CITATION.search(why)),
        optimal_rate=sum(result.passed for result in optimal) / len(optimal) if optimal else 1.0,
    )
