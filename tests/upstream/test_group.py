"""Several addresses behind one: who is asked, who next, what may be sent twice, and what is learned."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from seawall.http.body import BodyBroken, BodyReader
from seawall.http.message import RequestHead
from seawall.policy.reasons import Reason
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.breaker import Breaker, Fuse, State
from seawall.upstream.group import GATEWAY_FAILURES, Group, Member, Pick, choose
from seawall.upstream.health import Unfit
from seawall.upstream.pool import Pool
from seawall.upstream.ring import rank
from tests.upstream.doubles import Asked, Chance, Scripted, Time
from tests.upstream.scripted import OK, Peer, Sent, always, origin, request, until, until_broken, whole

UNREACHED = [Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT, Reason.TLS_FAILED]
AFTER_SENDING = [Reason.FIRST_BYTE_TIMEOUT, Reason.IDLE_TIMEOUT, Reason.RESET, Reason.BAD_RESPONSE]


class Failing(Scripted):
    """Fails every request alike, until the story says otherwise."""

    def __init__(self, reason: Reason) -> None:
        self.reason: Reason | None = reason
        super().__init__(self.answer)

    def answer(self, asked: Asked) -> None:
        if self.reason is None:
            asked.says()
        else:
            asked.fails(self.reason)


def fine() -> Scripted:
    return Scripted(lambda asked: asked.says())


class Stage:
    """A group over scripted members `a`, `b`, ... in the order in which the request of the story ranks them."""

    def __init__(self, *upstreams: Scripted, fallback: Scripted | None = None, **settings: object) -> None:
        names = rank(request().url, [chr(ord("a") + number) for number in range(len(upstreams))])
        self.members = [Member(name, upstream) for name, upstream in zip(names, upstreams, strict=True)]
        self.upstreams = upstreams
        self.fallback = fallback
        self.time = Time()
        self.group = Group(
            self.members,
            fallback=fallback,
            now=self.time,
            random=Chance(0.0),
            **settings,  # type: ignore[arg-type]
        )

    async def get(self, method: str = "GET", body: BodyReader | None = None) -> Answer:
        return await self.group.exchange(request(method), body)

    async def fails(self, method: str = "GET", body: BodyReader | None = None) -> Reason:
        with pytest.raises(UpstreamError) as caught:
            await self.get(method, body)
        return caught.value.reason

    def state(self) -> State:
        return self.members[0].breaker.state

    def asked(self) -> list[int]:
        asked = [len(upstream.asked) for upstream in self.upstreams]
        return [*asked, len(self.fallback.asked)] if self.fallback is not None else asked


# --- who is asked ---


async def test_a_key_goes_to_the_first_of_its_ranking_and_the_keys_are_spread() -> None:
    upstreams = {name: fine() for name in "abcd"}
    group = Group([Member(name, upstream) for name, upstream in upstreams.items()])
    for number in range(200):
        head = request("GET", f"/{number}")
        for _ in range(2):
            await group.exchange(head, None)
        assert upstreams[rank(head.url, list("abcd"))[0]].asked[-1].head == head
    assert all(len(upstream.asked) > 40 for upstream in upstreams.values())


async def test_the_own_region_is_asked_first_and_the_other_one_when_it_is_down() -> None:
    near, far = fine(), fine()
    members = [Member("far-1", far), Member("near-1", near, preferred=True), Member("near-2", near, preferred=True)]
    group = Group(members)
    for number in range(20):
        await group.exchange(request("GET", f"/{number}"), None)
    assert (len(near.asked), len(far.asked)) == (20, 0)
    for _ in range(3):
        members[1].probed(False, 0.0)
        members[2].probed(False, 0.0)
    await group.exchange(request(), None)
    assert len(far.asked) == 1


async def test_weights_share_the_keys() -> None:
    big, small = fine(), fine()
    group = Group([Member("big", big, weight=9.0), Member("small", small)])
    for number in range(200):
        await group.exchange(request("GET", f"/{number}"), None)
    assert len(big.asked) > 150
    assert len(small.asked) > 2


async def test_in_turn_each_well_member_gets_the_same_share() -> None:
    upstreams = {name: fine() for name in "abc"}
    members = [Member(name, upstream) for name, upstream in upstreams.items()]
    group = Group(members, pick=Pick.ROUND_ROBIN)
    for _ in range(9):
        await group.exchange(request(), None)
    assert [len(upstream.asked) for upstream in upstreams.values()] == [3, 3, 3]
    for _ in range(3):
        members[1].probed(False, 0.0)
    for _ in range(8):
        await group.exchange(request(), None)
    assert [len(upstream.asked) for upstream in upstreams.values()] == [7, 3, 7]


async def test_in_turn_too_the_own_region_goes_first() -> None:
    upstreams = {name: fine() for name in "abcd"}
    members = [Member(name, upstream, preferred=name in "bd") for name, upstream in upstreams.items()]
    group = Group(members, pick=Pick.ROUND_ROBIN)
    for _ in range(6):
        await group.exchange(request(), None)
    assert {name: len(upstream.asked) for name, upstream in upstreams.items()} == {"a": 0, "b": 3, "c": 0, "d": 3}
    for member in members:
        for _ in range(3):
            member.probed(not member.preferred, 0.0)
    for _ in range(6):
        await group.exchange(request(), None)
    assert {name: len(upstream.asked) for name, upstream in upstreams.items()} == {"a": 3, "b": 3, "c": 3, "d": 3}


# --- what may be sent twice ---


@pytest.mark.parametrize("reason", [*UNREACHED, Reason.QUEUE_FULL])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_what_was_not_sent_goes_to_the_next(method: str, reason: Reason) -> None:
    stage = Stage(Failing(reason), fine())
    assert (await stage.get(method)).head.status == 200
    assert stage.asked() == [1, 1]
    assert stage.group.failed_over == 1


@pytest.mark.parametrize("reason", AFTER_SENDING)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_safe_request_goes_to_the_next_after_any_failure(method: str, reason: Reason) -> None:
    stage = Stage(Failing(reason), fine())
    await stage.get(method)
    assert stage.asked() == [1, 1]


@pytest.mark.parametrize("reason", AFTER_SENDING)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get"])
async def test_any_other_request_arrives_at_most_once(method: str, reason: Reason) -> None:
    stage = Stage(Failing(reason), fine(), fallback=fine())
    assert await stage.fails(method) is reason
    assert stage.asked() == [1, 0, 0]


@pytest.mark.parametrize("reason", AFTER_SENDING)
async def test_a_safe_request_with_a_body_arrives_at_most_once(reason: Reason) -> None:
    stage = Stage(Failing(reason), fine(), fallback=fine())
    assert await stage.fails("GET", Sent(b"x", length=1)) is reason
    assert stage.asked() == [1, 0, 0]


async def test_a_body_of_which_nothing_was_sent_goes_to_the_next_whole() -> None:
    stage = Stage(Failing(Reason.CONNECT_FAILED), Failing(Reason.QUEUE_FULL), fine())
    body = Sent(b"first", b"second", length=11)
    await stage.get("POST", body)
    assert [upstream.asked[0].sent for upstream in stage.upstreams] == [b"first"] * 3
    assert body.reads == 1
    assert body.closed


async def test_a_body_goes_to_the_next_over_real_sockets() -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        got.append(await peer.reader.readexactly(10))
        await peer.send(OK)

    async with real(script) as (group, _):
        for number in range(10):  # some of these keys belong to the address that nobody listens on
            body = Sent(b"hello", b"world", length=10)
            answer = await group.exchange(request("POST", f"/{number}"), body)
            assert await whole(answer.body) == b"hello"
    assert got == [b"helloworld"] * 10
    assert group.failed_over > 0


async def test_a_body_of_which_more_than_the_first_piece_is_gone_goes_nowhere_else() -> None:
    class Greedy(Scripted):
        async def exchange(self, head: RequestHead, body: BodyReader | None, **_: object) -> Answer:
            assert body is not None
            await body.read()
            await body.read()
            raise UpstreamError(Reason.CONNECT_FAILED, "and yet it read")

    stage = Stage(Greedy(), fine())
    assert await stage.fails("POST", Sent(b"a", b"b", length=2)) is Reason.CONNECT_FAILED
    assert stage.asked() == [0, 0]


async def test_a_body_that_breaks_is_nobodys_failure() -> None:
    stage = Stage(fine(), fine())
    for _ in range(6):
        with pytest.raises(BodyBroken):
            await stage.get("POST", Sent(length=5, error=BodyBroken("the client left")))
    assert stage.group.unhealthy(stage.time()) == 0
    assert stage.members[0].breaker.state is State.CLOSED


async def test_no_more_attempts_than_allowed() -> None:
    reasons = [Reason.RESET, Reason.CONNECT_FAILED, Reason.FIRST_BYTE_TIMEOUT, Reason.BAD_RESPONSE]
    stage = Stage(*map(Failing, reasons), attempts=3)
    assert await stage.fails() is Reason.FIRST_BYTE_TIMEOUT, "the error of the last one"
    assert stage.asked() == [1, 1, 1, 0]


async def test_no_further_attempt_when_patience_is_over() -> None:
    stage = Stage(Scripted(), Scripted(), Scripted(), patience=30.0)
    task = asyncio.create_task(stage.get())
    for number in range(2):
        asked = await stage.upstreams[number].nth(1)
        stage.time.at += 15.0
        asked.fails(Reason.FIRST_BYTE_TIMEOUT)
    with pytest.raises(UpstreamError):
        await task
    assert stage.asked() == [1, 1, 0]


# --- what is learned ---


async def test_a_member_that_fails_five_times_is_not_asked_for_a_while() -> None:
    stage = Stage(Failing(Reason.RESET), fine())
    for _ in range(5):
        await stage.get()
    assert stage.asked() == [5, 5]
    assert stage.members[0].health.unfit(stage.time()) is Unfit.EJECTED
    await stage.get()
    assert stage.asked() == [5, 6]
    stage.time.at += 10.0
    await stage.get()
    assert stage.asked() == [6, 7]
    assert stage.members[0].failures == {Reason.RESET: 6}


@pytest.mark.parametrize(("members", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
async def test_no_more_than_half_of_the_members_are_ejected(members: int, most: int) -> None:
    stage = Stage(*(Failing(Reason.RESET) for _ in range(members)), attempts=members)
    for _ in range(20):
        await stage.fails()
    assert stage.group.unhealthy(stage.time()) == most
    assert len(stage.upstreams[-1].asked) == 20, "the others are still asked"


async def test_members_that_probes_took_out_count_in_that_half() -> None:
    stage = Stage(Failing(Reason.RESET), Failing(Reason.RESET))
    for _ in range(3):
        stage.members[1].probed(False, stage.time())
    for _ in range(9):
        await stage.fails()
    assert stage.members[0].health.healthy(stage.time())


@pytest.mark.parametrize(("failing", "ejected"), [(GATEWAY_FAILURES, True), (frozenset[int](), False)])
@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_gateways_failure_counts_where_the_members_are_the_origin(
    status: int, failing: frozenset[int], ejected: bool
) -> None:
    """Parents pass on what the origin said: one origin that is down must not eject them."""
    stage = Stage(Scripted(lambda asked: asked.says(status)), fine(), failing=failing)
    for _ in range(5):
        assert (await stage.get()).head.status == status, "an answer is an answer"
    assert stage.members[0].health.ejected(stage.time()) is ejected


async def test_an_application_error_is_an_answer() -> None:
    stage = Stage(Scripted(lambda asked: asked.says(500)), fine(), failing=GATEWAY_FAILURES)
    for _ in range(9):
        await stage.get()
    assert stage.group.unhealthy(stage.time()) == 0


async def test_a_member_that_breaks_off_in_the_middle_of_bodies_is_ejected() -> None:
    stage = Stage(Scripted(), fine())
    for number in range(1, 6):
        task = asyncio.create_task(stage.get())
        body = (await stage.upstreams[0].nth(number)).replies()
        answer = await task
        body.feed(b"half")
        body.break_off("reset")
        assert await until_broken(answer.body) == b"half"
        answer.body.close()  # as readers do
    assert stage.members[0].health.ejected(stage.time())
    assert stage.members[0].failures == {Reason.INCOMPLETE: 5}


@pytest.mark.parametrize("ending", ["none", "read", "closed"])
async def test_an_answer_that_ends_well_is_a_success(ending: str) -> None:
    stage = Stage(Failing(Reason.RESET), fine())
    for _ in range(4):
        await stage.get()
    stage.upstreams[0].always = lambda asked: asked.replies(body=b"" if ending == "none" else b"body")
    answer = await stage.get()
    if ending == "closed":
        answer.body.close()
    elif ending == "read":
        assert await whole(answer.body) == b"body"
    stage.upstreams[0].always = lambda asked: asked.fails(Reason.RESET)
    for _ in range(4):
        await stage.get()
    assert stage.group.unhealthy(stage.time()) == 0


async def test_a_full_queue_is_no_sign_of_ill_health() -> None:
    stage = Stage(Failing(Reason.QUEUE_FULL), fine())
    for _ in range(9):
        await stage.get()
    assert stage.asked() == [9, 9]
    assert stage.group.unhealthy(stage.time()) == 0


async def test_a_cancelled_request_says_nothing_and_frees_the_trial() -> None:
    stage = Stage(Failing(Reason.CONNECT_FAILED))
    for _ in range(5):
        await stage.fails()
    stage.time.at += 1.0
    stage.upstreams[0].always = None
    trial = asyncio.create_task(stage.get())
    await stage.upstreams[0].nth(6)
    assert stage.state() is State.HALF_OPEN
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    stage.upstreams[0].always = lambda asked: asked.says()
    await stage.get()
    assert stage.state() is State.CLOSED


# --- when nobody is well ---


async def test_the_only_address_is_not_waited_for_while_it_cannot_be_reached() -> None:
    """HAZARDS F01: the breaker stops per-request waits."""
    stage = Stage(Failing(Reason.CONNECT_TIMEOUT))
    for _ in range(5):
        assert await stage.fails() is Reason.CONNECT_TIMEOUT
    for _ in range(9):
        assert await stage.fails() is Reason.CONNECT_TIMEOUT, "with the same reason"
    assert stage.asked() == [5]
    assert stage.group.refused == 9
    stage.time.at += 1.0
    stage.upstreams[0].always = None
    trial = asyncio.create_task(stage.get())
    asked = await stage.upstreams[0].nth(6)
    assert await stage.fails() is Reason.CONNECT_TIMEOUT, "one finds out, the others do not wait for it"
    asked.says()
    await trial
    stage.upstreams[0].always = lambda asked: asked.says()
    await stage.get()
    assert stage.asked() == [7]


@pytest.mark.parametrize("reason", AFTER_SENDING)
async def test_one_url_that_fails_does_not_shut_out_the_others(reason: Reason) -> None:
    stage = Stage(Failing(reason))
    for _ in range(20):
        assert await stage.fails() is reason
    assert stage.asked() == [20]


async def test_a_successful_probe_lets_a_request_try_at_once() -> None:
    refusing = Failing(Reason.CONNECT_FAILED)
    stage = Stage(refusing)
    for _ in range(6):
        await stage.fails()
    assert stage.asked() == [5]
    refusing.reason = None
    stage.members[0].probed(True, stage.time())
    await stage.get()
    assert stage.asked() == [6]


async def test_when_probes_say_that_all_are_down_the_least_bad_is_asked() -> None:
    stage = Stage(Failing(Reason.RESET), fine(), attempts=1)
    for member in stage.members:
        for _ in range(3):
            member.probed(False, stage.time())
    assert await stage.fails() is Reason.RESET
    await stage.get()
    await stage.get()
    assert stage.asked() == [1, 2], "the one whose last request failed comes last"


async def test_with_nobody_else_the_sick_are_asked_after_the_healthy() -> None:
    stage = Stage(fine(), Failing(Reason.RESET))
    for _ in range(3):
        stage.members[0].probed(False, stage.time())
    await stage.get()
    assert stage.asked() == [1, 1]


async def test_the_fallback_is_asked_when_the_members_have_failed() -> None:
    stage = Stage(Failing(Reason.CONNECT_FAILED), Failing(Reason.RESET), fallback=fine())
    await stage.get()
    assert stage.asked() == [1, 1, 1]
    assert stage.group.fell_back == 1


async def test_the_fallbacks_failure_is_the_last_word() -> None:
    stage = Stage(Failing(Reason.CONNECT_FAILED), fallback=Failing(Reason.BAD_RESPONSE))
    assert await stage.fails() is Reason.BAD_RESPONSE


async def test_a_request_that_nobody_could_be_sent_falls_back_whole() -> None:
    stage = Stage(Failing(Reason.CONNECT_FAILED), fallback=fine())
    body = Sent(b"abc", length=3)
    await stage.get("POST", body)
    assert stage.fallback is not None
    assert stage.fallback.asked[0].sent == b"abc"


async def test_a_crowd_at_the_parents_does_not_go_on_to_the_fallback() -> None:
    stage = Stage(Failing(Reason.RESET), Failing(Reason.QUEUE_FULL), fallback=fine())
    assert await stage.fails() is Reason.QUEUE_FULL
    assert stage.asked() == [1, 1, 0]


async def test_with_a_fallback_a_member_with_two_witnesses_against_it_is_not_waited_for() -> None:
    stage = Stage(Failing(Reason.FIRST_BYTE_TIMEOUT), fallback=fine())
    for _ in range(3):
        stage.members[0].probed(False, stage.time())
    await stage.get()
    assert stage.asked() == [1, 1], "the probes alone may be wrong: it is tried"
    for _ in range(5):
        await stage.get()
    assert stage.asked() == [1, 6]
    stage.time.at += 10.0
    await stage.get()
    assert stage.asked() == [2, 7], "now and then somebody looks"


async def test_with_a_fallback_an_open_breaker_costs_nothing() -> None:
    stage = Stage(Failing(Reason.CONNECT_TIMEOUT), fallback=fine())
    for _ in range(9):
        await stage.get()
    assert stage.asked() == [5, 9]


def test_choosing_is_a_table() -> None:
    now = 1000.0

    def member(name: str) -> Member:
        it = Member(name, fine(), breaker=Breaker(Fuse(after=1)))
        if "d" in name:
            for _ in range(3):
                it.probed(False, now)
        if "f" in name:
            it.health.failed(now)
        if "o" in name:
            it.breaker.unreached(it.breaker.take(now), Reason.CONNECT_FAILED, now)
        return it

    # w well, d down by probes, f failed lately, o breaker open; who is chosen first and later, without fallback
    # and with one.
    table: Sequence[tuple[str, tuple[str, str], tuple[str, str]]] = [
        ("w", ("w", "w"), ("w", "w")),
        ("wf w", ("wf", "wf"), ("wf", "wf")),
        ("d w", ("w", "w"), ("w", "w")),
        ("o w", ("w", "w"), ("w", "w")),
        ("d d2", ("d", "d"), ("d", "-")),
        ("df d", ("d", "d"), ("d", "-")),
        ("df df2", ("df", "df"), ("-", "-")),
        ("o o2", ("-", "-"), ("-", "-")),
        ("o d", ("d", "d"), ("d", "-")),
        ("", ("-", "-"), ("-", "-")),
    ]
    for names, *expected in table:
        left = [member(name) for name in names.split()]
        for fallback in (False, True):
            chosen = [choose(left, now, first=first, fallback=fallback) for first in (True, False)]
            assert tuple(one.name if one else "-" for one in chosen) == expected[fallback], (names, fallback)


# --- real sockets, and the end ---


@asynccontextmanager
async def real(script: object) -> AsyncIterator[tuple[Group, dict[str, Pool]]]:
    """A group over an address that answers, and one where nobody listens any more."""
    async with origin(always()) as gone:
        dead = gone.port
    async with origin(script) as it:  # type: ignore[arg-type]
        pools = {
            name: Pool(Address("http", "127.0.0.1", port), Timeouts(connect=1.0))
            for name, port in (("alive", it.port), ("dead", dead))
        }
        group = Group([Member(name, pool) for name, pool in pools.items()])
        try:
            yield group, pools
        finally:
            await group.close()


async def test_a_dead_address_is_not_noticed_by_clients() -> None:
    async with real(always()) as (group, pools):
        for number in range(40):
            answer = await group.exchange(request("GET", f"/{number}"), None)
            assert await whole(answer.body) == b"hello"
        assert pools["dead"].failures == Counter({Reason.CONNECT_FAILED: 5})
        assert group.members["dead"].health.ejected(group._now())
        assert group.members["dead"].breaker.refusal(group._now()) is not None
        assert repr(group) == "<Group ring: alive fit, dead breaker-open>"


async def test_a_member_that_hangs_up_in_the_middle_is_noticed_by_its_reader_only() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        peer.fin()

    async with real(script) as (group, _):
        answer = await group.exchange(request(), None)
        assert await until_broken(answer.body) == b"half"
        assert group.members["alive"].failures == {Reason.INCOMPLETE: 1}


async def test_closing_ends_the_members_and_leaves_the_fallback() -> None:
    stage = Stage(fine(), fine(), fallback=fine())
    await stage.group.close()
    await stage.group.close()
    assert [upstream.closed for upstream in stage.upstreams] == [2, 2]
    assert stage.fallback is not None
    assert stage.fallback.closed == 0


async def test_a_cancelled_request_is_cancelled_at_the_member() -> None:
    scripted = Scripted()
    stage = Stage(scripted, fine())
    task = asyncio.create_task(stage.get())
    asked = await scripted.nth(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(asked.answer.cancelled)
    assert stage.asked() == [1, 0]


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_a_group_needs_members_with_names(names: list[str]) -> None:
    with pytest.raises(ValueError, match="name"):
        Group([Member(name, fine()) for name in names])


def test_a_group_needs_an_attempt() -> None:
    with pytest.raises(ValueError, match="attempts"):
        Group([Member("a", fine())], attempts=0)
