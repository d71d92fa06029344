"""A body on its way in: what it holds of the memory that all share, and where it ends up."""

import asyncio
from collections.abc import Callable

import pytest

from seawall.engine.pour import JOIN_BYTES, Filling, Poured, pour
from seawall.flight.fill import Fill, FillReader
from seawall.policy.reasons import Reason
from seawall.store.level import Spool
from tests.engine.scripted import Body
from tests.store.scripted_level import ScriptedFiled, ScriptedLevel

BUDGET = 1000
IN_MEMORY = 10
AT_MOST = 30


class Scene:
    """One pour: the story writes the body, a client reads it."""

    def __init__(
        self,
        length: int | None = None,
        *,
        budget: int = BUDGET,
        spools: bool = True,
        from_the_start: bool = False,
        seed: tuple[bytes, ...] = (),
    ) -> None:
        self.body = Body(length)
        self.level = ScriptedLevel()
        self.level.takes_spools = spools
        self.filling = Filling(budget, IN_MEMORY)
        self.fill = Fill(length, seed, window_bytes=5)
        self.reader = self.fill.reader()
        self.from_the_start = from_the_start
        self.task: asyncio.Task[Poured] | None = None

    def begin(self) -> None:
        spool: Spool | None = self.level.spool() if self.from_the_start else None
        self.task = asyncio.create_task(
            pour(self.body, self.fill, AT_MOST, self.filling, spool, self.level.spool),
        )

    async def poured(self) -> Poured:
        assert self.task is not None
        async with asyncio.timeout(5):
            return await self.task

    async def takes(self, *pieces: bytes) -> None:
        """The body has come so far, and the client has read it."""
        for piece in pieces:
            self.body.write(piece)
            got = b""
            while len(got) < len(piece):
                got += await self.reader.read()
            assert got == piece
        await self.until(lambda: self.body.pulled >= len(pieces))

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("the story never got there")


def holds_nothing(scene: Scene) -> bool:
    return scene.filling.held_bytes == 0 and all(
        spool.aborted or spool.finished is not None for spool in scene.level.spools
    )


async def test_body_that_fits_is_held_and_counted_until_it_is_whole() -> None:
    scene = Scene()
    scene.begin()
    await scene.takes(b"abc", b"def")
    assert scene.filling.held_bytes == 6
    scene.body.end()
    assert await scene.poured() == Poured((b"abcdef",))
    assert (await scene.reader.read(), holds_nothing(scene)) == (b"", True)


async def test_body_larger_than_memory_takes_goes_into_the_spool() -> None:
    scene = Scene()
    scene.begin()
    await scene.takes(b"12345", b"67890")
    assert (scene.filling.held_bytes, scene.level.spools) == (10, [])
    await scene.takes(b"abc")
    await scene.until(lambda: scene.filling.held_bytes == 0)
    await scene.takes(b"def")
    assert scene.filling.held_bytes == 0
    scene.body.end()
    poured = await scene.poured()
    assert isinstance(poured.body, ScriptedFiled)
    assert (poured.body.octets, poured.why_not) == (b"1234567890abcdef", None)
    assert (await scene.reader.read(), holds_nothing(scene)) == (b"", True)
    assert not scene.level.spools[0].aborted


async def test_body_for_which_memory_is_known_to_have_no_room_is_never_held() -> None:
    scene = Scene(20, from_the_start=True)
    scene.begin()
    await scene.takes(b"12345")
    assert (scene.filling.held_bytes, scene.fill._pieces) == (0, [])
    await scene.takes(b"678901234567890")
    scene.body.end()
    poured = await scene.poured()
    assert isinstance(poured.body, ScriptedFiled)
    assert (poured.body.length, holds_nothing(scene)) == (20, True)


async def test_bodies_share_one_budget_and_the_one_that_exceeds_it_leaves_memory() -> None:
    scene = Scene(budget=8)
    scene.filling.held_bytes = 4  # another flight
    scene.begin()
    await scene.takes(b"1234")
    assert scene.filling.held_bytes == 8
    await scene.takes(b"5")
    await scene.until(lambda: scene.filling.held_bytes == 4)
    scene.body.end()
    poured = await scene.poured()
    assert isinstance(poured.body, ScriptedFiled)
    assert (poured.body.octets, scene.filling.held_bytes) == (b"12345", 4)


@pytest.mark.parametrize(
    ("budget", "why"), [(BUDGET, Reason.TOO_LARGE), (8, Reason.NO_ROOM)], ids=["too large", "no room"]
)
async def test_without_a_spool_it_passes_on_at_the_pace_of_its_readers(budget: int, why: Reason) -> None:
    scene = Scene(budget=budget, spools=False)
    scene.begin()
    await scene.takes(b"12345", b"67890" if budget == BUDGET else b"678", b"x")
    await scene.until(lambda: not scene.fill.joinable)
    assert scene.filling.held_bytes == 0
    for _ in range(3):
        scene.body.write(b"xxx")
    for _ in range(20):
        await asyncio.sleep(0)
    assert sum(map(len, scene.fill._pieces)) <= 5 + 3
    scene.body.end()
    got = b""
    while piece := await scene.reader.read():
        got += piece
    assert (got, await scene.poured(), holds_nothing(scene)) == (b"xxx" * 3, Poured(None, why), True)


@pytest.mark.parametrize("from_the_start", [True, False])
async def test_body_larger_than_the_route_keeps_is_given_up_and_delivered(from_the_start: bool) -> None:
    scene = Scene(from_the_start=from_the_start)
    scene.begin()
    await scene.takes(bytes(10), bytes(10), bytes(10))
    assert scene.fill.joinable
    await scene.takes(b"x")
    await scene.until(lambda: not scene.fill.joinable)
    assert scene.level.spools[0].aborted
    await scene.takes(b"yy")
    scene.body.end()
    assert (await scene.reader.read(), await scene.poured()) == (b"", Poured(None, Reason.TOO_LARGE))
    assert holds_nothing(scene)


async def test_one_piece_beyond_every_limit_asks_for_no_spool() -> None:
    scene = Scene()
    scene.begin()
    await scene.takes(bytes(AT_MOST + 1))
    scene.body.end()
    assert (await scene.poured(), scene.level.spools) == (Poured(None, Reason.TOO_LARGE), [])
    assert holds_nothing(scene)


@pytest.mark.parametrize("written", range(4))
async def test_spool_that_breaks_costs_the_place_in_the_store_and_no_octet(written: int) -> None:
    scene = Scene()
    pieces = [b"0123456789", b"a", b"b", b"c", b"d"]

    async def read(reader: FillReader, pace: int) -> bytes:
        got = b""
        while piece := await reader.read():
            got += piece
            for _ in range(pace):
                await asyncio.sleep(0)
            if scene.level.reached["spool.write"] >= written:
                scene.level.break_down("spool.write")
        reader.close()
        return got

    reading = [asyncio.create_task(read(scene.reader, 0)), asyncio.create_task(read(scene.fill.reader(), 25))]
    if written == 0:
        scene.level.break_down("spool.write")
    scene.begin()
    for piece in pieces:
        scene.body.write(piece)
        for _ in range(10):
            await asyncio.sleep(0)
    scene.body.end()
    assert await asyncio.gather(*reading) == [b"".join(pieces)] * 2
    assert await scene.poured() == Poured(None, Reason.NO_ROOM)
    assert (holds_nothing(scene), scene.level.spools[0].aborted) == (True, True)


async def test_spool_that_cannot_be_finished_costs_the_place_in_the_store_and_no_octet() -> None:
    scene = Scene(from_the_start=True)
    scene.level.break_down("spool.finish")
    scene.begin()
    await scene.takes(b"abc", b"def")
    scene.body.end()
    assert (await scene.reader.read(), await scene.poured()) == (b"", Poured(None, Reason.NO_ROOM))
    assert (holds_nothing(scene), scene.level.spools[0].aborted) == (True, True)


@pytest.mark.parametrize("octets", [5, 15])
async def test_body_that_breaks_off_holds_nothing(octets: int) -> None:
    scene = Scene()
    scene.begin()
    await scene.takes(bytes(octets))
    scene.body.break_off()
    assert await scene.poured() == Poured(None, Reason.INCOMPLETE)
    assert holds_nothing(scene)
    assert scene.fill.ended
    assert not scene.fill.done


@pytest.mark.parametrize("step", ["body", "spool.write", "spool.finish", "passing"])
async def test_pour_that_is_cancelled_holds_nothing(step: str) -> None:
    scene = Scene(spools=step != "passing")
    scene.level.hold(step)
    scene.begin()
    await scene.takes(bytes(5 if step == "body" else 15))
    if step == "spool.finish":
        scene.body.end()
    if step.startswith("spool"):
        await scene.until(lambda: scene.level.reached[step] == 1)
    if step == "passing":
        for _ in range(3):
            scene.body.write(bytes(5))
        await scene.until(lambda: scene.reader.behind_bytes > 5)
    else:
        for _ in range(5):
            await asyncio.sleep(0)
    assert scene.task is not None
    assert not scene.task.done()
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.task
    assert holds_nothing(scene)


@pytest.mark.parametrize("spools", [True, False])
async def test_what_nobody_reads_and_nobody_keeps_ends(spools: bool) -> None:
    scene = Scene(spools=spools)
    scene.begin()
    await scene.takes(bytes(15))
    scene.reader.close()
    if spools:
        scene.level.break_down("spool.write")
        scene.body.write(b"x")
    poured = await scene.poured()
    assert (poured.body, holds_nothing(scene), scene.fill.ended) == (None, True, True)


async def test_what_nobody_reads_is_kept_all_the_same_where_there_is_room() -> None:
    scene = Scene()
    scene.begin()
    await scene.takes(bytes(15))
    scene.reader.close()
    scene.body.write(b"x")
    scene.body.end()
    poured = await scene.poured()
    assert isinstance(poured.body, ScriptedFiled)
    assert poured.body.length == 16


async def test_seed_goes_into_the_spool_too() -> None:
    scene = Scene(from_the_start=True, seed=(b"seed",))
    scene.begin()
    assert await scene.reader.read() == b"seed"
    await scene.takes(b"rest")
    scene.body.end()
    poured = await scene.poured()
    assert isinstance(poured.body, ScriptedFiled)
    assert poured.body.octets == b"seedrest"


async def test_seed_that_nothing_follows_goes_into_the_spool_too() -> None:
    scene = Scene(from_the_start=True, seed=(b"seed",))
    scene.body.end()
    scene.begin()
    poured = await scene.poured()
    assert isinstance(poured.body, ScriptedFiled)
    assert poured.body.octets == b"seed"


@pytest.mark.parametrize(
    ("length", "held", "fits"), [(None, BUDGET, True), (10, 0, True), (11, 0, False), (6, 995, False)]
)
def test_what_is_known_not_to_fit_is_not_begun_in_memory(length: int | None, held: int, fits: bool) -> None:
    filling = Filling(BUDGET, IN_MEMORY)
    filling.held_bytes = held
    assert filling.fits(length) is fits


@pytest.mark.parametrize(("size", "pieces"), [(JOIN_BYTES, 1), (JOIN_BYTES + 1, 2)])
async def test_small_bodies_are_joined_and_large_ones_are_not(size: int, pieces: int) -> None:
    body, fill = Body(None), Fill(None)
    body.write(bytes(size // 2))
    body.write(bytes(size - size // 2))
    body.end()
    poured = await pour(body, fill, 1 << 30, Filling(1 << 30, 1 << 30), None, lambda: None)
    assert isinstance(poured.body, tuple)
    assert len(poured.body) == pieces
