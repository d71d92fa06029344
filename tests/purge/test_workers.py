"""Several processes of a node are one line in what is told of a purge, no better than the worst of them."""

from __future__ import annotations

import re
from itertools import product

import pytest

from seawall.config.kinds import NAME
from seawall.purge.answered import Counted, counted
from seawall.purge.order import Order
from seawall.purge.receipts import NodeReceipt, NodeState, Receipt
from seawall.purge.selection import Selection
from seawall.purge.workers import feed_name, lines, node_of

APPLIED, FENCED, PENDING = NodeState.APPLIED, NodeState.FENCED, NodeState.PENDING


def said(worker: int, state: NodeState, matched: int | None = None, ms: float | None = None) -> NodeReceipt:
    return NodeReceipt(feed_name("edge", worker), state, matched, None if matched is None else 10 * matched, ms)


@pytest.mark.parametrize(
    ("one", "other", "line"),
    [
        (said(0, APPLIED, 1, 2.0), said(1, APPLIED, 2, 1.0), NodeReceipt("edge", APPLIED, 3, 30, 2.0)),
        (said(0, APPLIED, 1, 2.0), said(1, FENCED, None, 9.0), NodeReceipt("edge", FENCED, None, None, 9.0)),
        (said(0, FENCED, None, 8.0), said(1, FENCED, None, 9.0), NodeReceipt("edge", FENCED, None, None, 9.0)),
        (said(0, APPLIED, 1, 2.0), said(1, PENDING), NodeReceipt("edge", PENDING)),
        (said(0, FENCED, None, 2.0), said(1, PENDING), NodeReceipt("edge", PENDING)),
        (said(0, APPLIED, 1, 2.0), said(1, APPLIED, None, 3.0), NodeReceipt("edge", APPLIED, None, None, 3.0)),
    ],
)
def test_a_node_is_as_far_as_the_last_of_its_processes(one: NodeReceipt, other: NodeReceipt, line: NodeReceipt) -> None:
    assert lines([one, other]) == [line]
    assert lines([other, one]) == [line]


def test_the_hubs_own_part_and_its_workers_are_one_line_and_other_nodes_stay_as_they_are() -> None:
    others = NodeReceipt("edge", APPLIED, 4, 40, 5.0)
    told = lines(
        [
            NodeReceipt("hub", APPLIED, 0, 0, 0.1),
            NodeReceipt(feed_name("hub", 0), APPLIED, 1, 10, 0.2),
            others,
            NodeReceipt(feed_name("hub", 1), APPLIED, 1, 10, 0.3),
        ]
    )
    assert told == [NodeReceipt("hub", APPLIED, 2, 20, 0.3), others]


def test_by_processes_and_by_nodes_a_receipt_says_the_same() -> None:
    order = Order(1, 0.0, Selection(urls=("http://a/",)))
    names = ("hub", feed_name("edge", 0), feed_name("edge", 1))
    for states in product(NodeState, repeat=3):
        each = Receipt(order, tuple(map(NodeReceipt, names, states)))
        assert Receipt(order, tuple(lines(each.nodes))).state is each.state


def test_a_dry_run_counts_a_node_only_where_all_of_it_said_something() -> None:
    parts = [Counted("hub", 0, 0), Counted(feed_name("edge", 0), 2, 20), Counted(feed_name("edge", 1), 3, 30)]
    whole = counted(parts)
    assert [(node["node"], node["matched"]) for node in whole.document["nodes"]] == [("hub", 0), ("edge", 5)]  # type: ignore[attr-defined]
    assert whole.status == 200
    silent = counted([*parts[:2], Counted(feed_name("edge", 1), None, None)])
    assert [node["state"] for node in silent.document["nodes"]] == ["counted", "unknown"]  # type: ignore[attr-defined]
    assert silent.status == 207


def test_no_node_of_a_topology_can_have_the_name_of_a_feed() -> None:

    assert node_of(feed_name("edge-ams", 12)) == "edge-ams"
    assert node_of("edge-ams") == "edge-ams"

    assert not re.fullmatch(NAME, feed_name("edge-ams", 12))
