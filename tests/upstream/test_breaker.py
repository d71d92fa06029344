"""Who cannot be reached is not waited for by every request, and is found again by one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.policy.reasons import Reason
from seawall.upstream.breaker import Breaker, Fuse, Refusal, State

WHY = Reason.CONNECT_FAILED


def fail(breaker: Breaker, now: float, times: int = 5) -> None:
    for _ in range(times):
        breaker.unreached(breaker.take(now), WHY, now)


def stands(breaker: Breaker) -> State:
    return breaker.state


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    fail(breaker, now)
    assert stands(breaker) is State.OPEN
    return breaker


# x not reached, o reached, ? undecided: where does it stand after these, all at one instant?
TABLE = [
    ("", State.CLOSED),
    ("xxxx", State.CLOSED),
    ("xxxxx", State.OPEN),
    ("xxxxoxxxx", State.CLOSED),
    ("xxxx?x", State.OPEN),
    ("xxxxoxxxxx", State.OPEN),
    ("????????", State.CLOSED),
]


@pytest.mark.parametrize(("outcomes", "state"), TABLE)
def test_five_failures_in_a_row_open_it(outcomes: str, state: State) -> None:
    breaker = Breaker()
    for outcome in outcomes:
        ticket = breaker.take(0.0)
        if outcome == "x":
            breaker.unreached(ticket, WHY, 0.0)
        elif outcome == "o":
            breaker.reached(ticket)
        else:
            breaker.undecided(ticket)
    assert breaker.state is state
    assert breaker.refusal(0.0) == (Refusal.OPEN if state is State.OPEN else None)


def test_it_says_why_and_for_how_long() -> None:
    breaker = Breaker()
    fail(breaker, 0.0, times=4)
    assert breaker.unreached(breaker.take(0.0), Reason.CONNECT_TIMEOUT, 0.0), "the one that opens it says so"
    assert breaker.why is Reason.CONNECT_TIMEOUT
    assert breaker.next_try(0.25) == 0.75
    assert breaker.refusal(0.99) is Refusal.OPEN
    assert breaker.refusal(1.0) is None
    assert breaker.next_try(2.0) == 0.0


def test_one_trial_at_a_time_and_its_success_closes_it() -> None:
    breaker = opened()
    ticket = breaker.take(1.0)
    assert stands(breaker) is State.HALF_OPEN
    assert breaker.refusal(1.0) is Refusal.TRIAL
    breaker.reached(ticket)
    assert stands(breaker) is State.CLOSED
    fail(breaker, 1.0, times=4)
    assert breaker.refusal(1.0) is None, "and the count starts again"


def test_a_failed_trial_opens_it_for_twice_as_long_up_to_a_bound() -> None:
    breaker = opened()
    now = 1.0
    for lasts in (2.0, 4.0, 5.0, 5.0):
        assert breaker.refusal(now) is None
        breaker.unreached(breaker.take(now), WHY, now)
        assert breaker.refusal(now + lasts - 0.01) is Refusal.OPEN
        now += lasts
    breaker.reached(breaker.take(now))
    fail(breaker, now)
    assert breaker.next_try(now) == 1.0, "a success forgives"


def test_a_trial_that_came_to_no_end_leaves_its_place_to_the_next() -> None:
    breaker = opened()
    breaker.undecided(breaker.take(1.0))
    assert stands(breaker) is State.HALF_OPEN
    assert breaker.refusal(1.0) is None
    breaker.reached(breaker.take(1.0))
    assert stands(breaker) is State.CLOSED


def test_a_slow_trial_keeps_the_others_out_for_so_long_only() -> None:
    breaker = opened()
    slow = breaker.take(1.0)
    assert breaker.refusal(5.9) is Refusal.TRIAL
    assert breaker.next_try(5.0) == 1.0
    assert breaker.refusal(6.0) is None
    breaker.take(6.0)
    breaker.reached(slow)
    assert stands(breaker) is State.CLOSED, "late, but it was reached"


def test_what_began_before_it_opened_says_nothing_about_now() -> None:
    breaker = Breaker()
    old = [breaker.take(0.0) for _ in range(8)]
    for ticket in old[:5]:
        breaker.unreached(ticket, WHY, 2.0)
    assert stands(breaker) is State.OPEN
    breaker.reached(old[5])
    assert stands(breaker) is State.OPEN
    assert not breaker.unreached(old[6], WHY, 2.5)
    assert breaker.next_try(2.5) == 0.5
    breaker.take(3.0)
    breaker.undecided(old[7])
    assert breaker.refusal(3.0) is Refusal.TRIAL


def test_a_probe_that_succeeds_invites_a_trial_at_once() -> None:
    breaker = opened()
    breaker.invite(0.2)
    assert breaker.refusal(0.2) is None
    breaker.take(0.2)
    breaker.invite(0.2)
    assert breaker.refusal(0.2) is Refusal.TRIAL, "but not a second one"


def test_jitter_lengthens_the_time_by_up_to_a_half() -> None:
    breaker = Breaker(Fuse(after=1))
    breaker.unreached(breaker.take(0.0), WHY, 0.0, jitter=0.5)
    assert breaker.next_try(0.0) == 1.25


class Story:
    """A breaker and requests under way, with nothing else to go by than the promises."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.tickets: list[int] = []
        self.now = 0.0


@given(st.lists(st.tuples(st.sampled_from("txou"), st.integers(0, 5), st.floats(0, 3)), max_size=120))
def test_it_never_stays_shut(steps: list[tuple[str, int, float]]) -> None:
    story = Story()
    breaker = story.breaker
    for step, number, pause in steps:
        story.now += pause
        if step == "t" and breaker.refusal(story.now) is None:
            before = breaker.state
            story.tickets.append(breaker.take(story.now))
            assert before is State.CLOSED or breaker.refusal(story.now) is Refusal.TRIAL
        elif story.tickets:
            ticket = story.tickets.pop(number % len(story.tickets))
            if step == "x":
                breaker.unreached(ticket, WHY, story.now)
            elif step == "o":
                breaker.reached(ticket)
            else:
                breaker.undecided(ticket)
        if breaker.refusal(story.now) is not None:
            assert 0 < breaker.next_try(story.now) <= 5.0
        assert breaker.refusal(story.now + 5.0) is None
