"""A receipt says what is true: complete only when every node has applied the order."""

from __future__ import annotations

import asyncio

import pytest

from seawall.purge.order import Order
from seawall.purge.receipts import NodeReceipt, NodeState, Receipts, State
from seawall.purge.selection import Selection

NODES = ("hub", "a", "b")


def order(number: int) -> Order:
    return Order(number, 0.0, Selection(all=True))


def states(receipts: Receipts, number: int) -> list[str]:
    receipt = receipts.get(number)
    assert receipt is not None
    return [node.state for node in receipt.nodes]


@pytest.mark.parametrize(
    ("applied", "fenced", "state"),
    [
        ("", "", State.ACCEPTED),
        ("hub", "", State.ACCEPTED),
        ("hub a", "", State.ACCEPTED),
        ("hub a", "b", State.PARTIAL),
        ("", "hub a b", State.PARTIAL),
        ("hub", "b", State.ACCEPTED),
        ("hub a b", "", State.COMPLETE),
        ("hub a b", "a b", State.COMPLETE),
    ],
)
def test_the_state_of_an_order_follows_from_its_nodes(applied: str, fenced: str, state: State) -> None:
    receipts = Receipts()
    receipts.open(order(1), NODES, 0.0)
    for node in applied.split():
        receipts.confirm(node, 1, 1, 10, 0.0)
    for node in fenced.split():
        receipts.fence(node, 1, 0.0)
    receipt = receipts.get(1)
    assert receipt is not None
    assert receipt.state is state
    assert receipt.settled is (state is not State.ACCEPTED)


def test_counts_and_times_are_each_nodes_own() -> None:
    receipts = Receipts()
    receipts.open(order(1), NODES, 100.0)
    receipts.confirm("hub", 1, 2, 2000, 100.001)
    receipts.confirm("a", 1, 1, 1000, 100.0021)
    receipt = receipts.get(1)
    assert receipt is not None
    assert receipt.nodes == (
        NodeReceipt("hub", NodeState.APPLIED, 2, 2000, 1.0),
        NodeReceipt("a", NodeState.APPLIED, 1, 1000, 2.1),
        NodeReceipt("b"),
    )
    assert receipt.matched == 3


def test_a_confirmation_says_that_everything_before_is_applied_too_uncounted() -> None:
    receipts = Receipts()
    for number in (1, 2, 3, 4):
        receipts.open(order(number), ("a",), 0.0)
    receipts.confirm("a", 1, 7, 70, 0.0)
    receipts.fence("a", 3, 1.0)
    assert [states(receipts, number) for number in (1, 2, 3, 4)] == [["applied"], ["fenced"], ["fenced"], ["pending"]]
    receipts.confirm("a", 3, 5, 50, 2.0)
    assert [states(receipts, number) for number in (1, 2, 3, 4)] == [["applied"], ["applied"], ["applied"], ["pending"]]
    assert [receipt.nodes[0].matched for receipt in receipts] == [None, 5, None, 7]


def test_a_second_word_changes_nothing() -> None:
    receipts = Receipts()
    receipts.open(order(1), ("a",), 0.0)
    receipts.confirm("a", 1, 7, 70, 0.5)
    before = receipts.get(1)
    receipts.confirm("a", 1, 0, 0, 9.0)
    receipts.fence("a", 1, 9.0)
    assert receipts.get(1) == before


def test_words_of_unknown_nodes_and_orders_change_nothing() -> None:
    receipts = Receipts()
    receipts.confirm("a", 1, 1, 1, 0.0)
    receipts.open(order(2), ("a",), 0.0)
    receipts.confirm("stranger", 2, 1, 1, 0.0)
    receipts.fence("stranger", 2, 0.0)
    assert states(receipts, 2) == ["pending"]
    assert receipts.get(1) is None
    receipts.confirm("a", 2, 1, 1, 0.0)
    assert states(receipts, 2) == ["applied"]


async def test_who_waits_is_woken_when_no_node_can_serve_the_old_any_more() -> None:
    receipts = Receipts()
    receipts.open(order(1), NODES, 0.0)
    waiting = [asyncio.create_task(receipts.wait(1, 30.0)) for _ in range(3)]
    await asyncio.sleep(0)
    receipts.confirm("hub", 1, 0, 0, 0.0)
    receipts.confirm("a", 1, 0, 0, 0.0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    waiting[0].cancel()
    receipts.fence("b", 1, 5.1)
    assert [(await task).state for task in waiting[1:]] == [State.PARTIAL] * 2
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    receipts.confirm("b", 1, 0, 0, 9.0)
    assert (await receipts.wait(1, 30.0)).state is State.COMPLETE


async def test_patience_ends_with_the_receipt_as_it_stands() -> None:
    receipts = Receipts()
    receipts.open(order(1), NODES, 0.0)
    receipts.confirm("hub", 1, 3, 0, 0.0)
    receipt = await receipts.wait(1, 0.01)
    assert (receipt.state, receipt.matched) == (State.ACCEPTED, 3)
    with pytest.raises(KeyError):
        await receipts.wait(2, 0.01)


async def test_only_the_newest_are_kept_and_those_that_somebody_waits_for() -> None:
    receipts = Receipts(most=3)
    receipts.open(order(1), ("a",), 0.0)
    waiting = asyncio.create_task(receipts.wait(1, 30.0))
    await asyncio.sleep(0)
    for number in range(2, 50):
        receipts.open(order(number), ("a",), 0.0)
    assert [receipt.number for receipt in receipts] == [49, 48, 1]
    receipts.confirm("a", 49, 1, 1, 0.0)
    assert (await waiting).state is State.COMPLETE
    assert len(receipts) == 3
