"""A purge on its way through a topology, one story a test. Time is the story's own; nothing sleeps."""

from __future__ import annotations

import pytest

from seawall.purge.applied import Applied
from seawall.purge.hub import Drop, Fenced, Send
from seawall.purge.hubfeed import Confirmed
from seawall.purge.lease import Lease, margin
from seawall.purge.messages import (
    Confirm,
    Echo,
    Hello,
    Malformed,
    Orders,
    Ping,
    Reset,
    Welcome,
    encode,
    heard_by_hub,
    heard_by_node,
)
from seawall.purge.nodefeed import Broken, Forget, NodeFeed, Purge
from seawall.purge.order import Order
from seawall.purge.receipts import State
from seawall.purge.selection import Selection
from tests.purge.wire import LEASE, OWN, Process, Topology

TWO_TIERS = {"mid": 0, "far-1": 1, "far-2": 1}


def running(ranks: dict[str, int] = TWO_TIERS) -> tuple[Topology, dict[str, Process]]:
    """All nodes are connected, caught up and hold a lease."""
    topology = Topology(ranks)
    processes = {name: topology.start(name, offset=100.0 * place) for place, name in enumerate(ranks)}
    for process in processes.values():
        topology.connect(process)
    topology.flow()
    topology.wait(LEASE / 5)
    topology.flow()
    assert all(process.feed.ready for process in processes.values())
    assert all(topology.holds(process) for process in processes.values())
    return topology, processes


def receipt_state(topology: Topology, number: int) -> State:
    receipt = topology.receipts.get(number)
    assert receipt is not None
    return receipt.state


def test_a_purge_is_complete_when_every_node_has_applied_it() -> None:
    topology, nodes = running()
    topology.purge()
    assert topology.states(1) == {OWN: "applied", "mid": "pending", "far-1": "pending", "far-2": "pending"}
    topology.flow()
    assert receipt_state(topology, 1) is State.COMPLETE
    receipt = topology.receipts.get(1)
    assert receipt is not None
    assert receipt.matched == 3
    assert all(process.applied.number == 1 for process in nodes.values())


def test_the_hub_is_first_then_each_rank_when_the_one_before_has_confirmed() -> None:
    topology, nodes = running()
    queued = {name: process.connection.to_node for name, process in nodes.items() if process.connection}
    topology.purge(apply_here=False)
    assert {name for name, queue in queued.items() if queue} == set()
    topology.apply_here()
    assert {name for name, queue in queued.items() if queue} == {"mid"}
    topology.node_hears(nodes["mid"])
    assert {name for name, queue in queued.items() if queue} == set()  # handed out, and not yet done
    topology.node_does(nodes["mid"])
    assert nodes["mid"].connection is not None
    topology.hub_hears(nodes["mid"].connection)
    assert {name for name, queue in queued.items() if queue} == {"far-1", "far-2"}


def test_a_frozen_node_is_pending_then_fenced_then_applied() -> None:
    topology, nodes = running()
    far = nodes["far-1"]
    far.frozen = True
    topology.purge()
    topology.flow()
    assert topology.states(1) == {OWN: "applied", "mid": "applied", "far-1": "pending", "far-2": "applied"}
    assert topology.holds(far), "whoever thaws it now gets the old one: the receipt must not say otherwise"
    while topology.states(1)["far-1"] == "pending":
        topology.wait(0.1)
        topology.flow()
        topology.truth_holds()
        assert topology.now < 1000 + 3 * LEASE
    assert receipt_state(topology, 1) is State.PARTIAL
    assert not topology.holds(far)
    far.frozen = False
    topology.flow()  # what waited in its buffer: echoes from before, and the order
    topology.truth_holds()
    assert receipt_state(topology, 1) is State.COMPLETE
    assert topology.holds(far)


def test_a_purge_is_safe_one_lease_after_it_was_written_whatever_a_node_does() -> None:
    """It takes every echo and applies nothing."""
    topology, nodes = running()
    far = nodes["far-1"]
    topology.purge()
    topology.flow()
    topology.purge()
    written = topology.now
    while topology.now < written + LEASE + 1:
        topology.wait(0.25)
        for name in ("mid", "far-2"):
            connection = nodes[name].connection
            assert connection is not None
            while connection.to_node:
                topology.node_hears(nodes[name])
            while nodes[name].acts:
                topology.node_does(nodes[name])
            while connection.to_hub:
                topology.hub_hears(connection)
        assert far.connection is not None
        while far.connection.to_node:
            topology.node_hears(far)
        while far.connection.to_hub:
            topology.hub_hears(far.connection)
        topology.truth_holds()
    assert far.acts, "it never did it"
    assert not topology.holds(far)
    assert topology.states(2) == {OWN: "applied", "mid": "applied", "far-1": "fenced", "far-2": "applied"}
    assert topology.holds(nodes["far-2"])


def test_a_frozen_parent_holds_its_children_up_for_one_lease_and_no_longer() -> None:
    topology, nodes = running()
    nodes["mid"].frozen = True
    topology.purge()
    written = topology.now
    while topology.states(1)["far-1"] == "pending":
        topology.wait(0.1)
        topology.flow()
        topology.truth_holds()
    assert topology.now - written <= LEASE + margin(LEASE) + 0.2
    assert topology.states(1) == {OWN: "applied", "mid": "fenced", "far-1": "applied", "far-2": "applied"}
    nodes["mid"].frozen = False
    topology.flow()
    assert receipt_state(topology, 1) is State.COMPLETE


def test_a_node_that_was_cut_off_catches_up_before_it_trusts_its_cache() -> None:
    topology, nodes = running()
    far = nodes["far-1"]
    assert far.connection is not None
    topology.cut(far.connection)
    for _ in range(3):
        topology.purge()
    topology.flow()
    topology.wait(LEASE + 1)
    topology.flow()
    assert topology.states(3)["far-1"] == "fenced"
    assert not topology.holds(far)
    connection = topology.connect(far)
    topology.hub_hears(connection)
    topology.hub_hears(connection)
    while connection.to_node:
        topology.node_hears(far)
        assert not far.feed.ready
        assert not topology.holds(far)
    topology.flow()
    assert far.applied.number == 3
    assert far.feed.ready
    assert topology.holds(far), "it does not wait for the next heartbeat"
    assert [receipt_state(topology, number) for number in (1, 2, 3)] == [State.COMPLETE] * 3


def test_a_connection_lost_between_application_and_confirmation_costs_the_count_and_nothing_else() -> None:
    topology, nodes = running()
    topology.purge()
    topology.flow()
    far = nodes["far-1"]
    topology.purge()
    mid = nodes["mid"]
    topology.node_hears(mid)
    topology.node_does(mid)
    assert mid.connection is not None
    topology.hub_hears(mid.connection)
    topology.node_hears(far)  # handed out
    assert far.connection is not None
    topology.cut(far.connection)
    topology.connect(far)  # says: after=1
    topology.node_does(far)  # done now, and said on the new connection
    topology.flow()
    assert receipt_state(topology, 2) is State.COMPLETE
    assert far.applied.number == 2


@pytest.mark.parametrize("keep", [True, False], ids=["with its disk", "with nothing"])
def test_a_node_killed_and_restarted_around_a_purge(keep: bool) -> None:
    topology, nodes = running()
    topology.purge()
    topology.flow()
    topology.kill(nodes["far-1"])
    topology.living.append(nodes["far-1"])  # start() looks for the elder there
    topology.purge()
    topology.flow()
    assert topology.states(2)["far-1"] == "pending", "nobody knows yet that it is dead and not only cut off"
    again = topology.start("far-1", keep=keep)
    generation = again.applied.generation
    topology.connect(again)
    topology.flow()
    assert receipt_state(topology, 2) is State.COMPLETE
    assert (again.applied.journal, again.applied.number) == (topology.log.id, 2)
    assert (again.applied.generation == generation) is keep
    topology.truth_holds()


def test_a_second_process_of_a_node_does_not_speak_for_the_first() -> None:
    """A hand-over without a lock: the old process is cut off and still serves."""
    topology, nodes = running()
    old = nodes["far-1"]
    assert old.connection is not None
    topology.cut(old.connection)
    new = topology.start("far-1", keep=False, sole=False, zombie=True)
    topology.connect(new)
    topology.flow()
    topology.purge()
    topology.flow()
    assert new.applied.number == 1
    assert topology.states(1)["far-1"] == "pending"
    topology.truth_holds()
    for _ in range(60):
        topology.wait(0.1)
        topology.flow()
        topology.truth_holds()
    assert not topology.holds(old)
    assert topology.states(1)["far-1"] == "applied"


def test_what_a_second_process_confirmed_is_not_believed_of_a_third() -> None:
    """The third came up with an older disk; that the lease of the first has run out says nothing about it."""
    topology = Topology({"n": 0})
    hub, now = topology.hub, topology.now
    hub.greeted(Hello("n", "first", "", 0), now)
    hub.received("n", Confirm(0, resets=1), now)
    hub.received("n", Ping(0.0), now)  # trusted until now + LEASE
    now += 3.0
    hub.greeted(Hello("n", "second", topology.log.id, 0), now)
    order = topology.log.append()
    hub.ordered(order.number, now)
    hub.applied_here(order.number, 0, 0, now)
    assert hub.received("n", Confirm(1), now) == []
    hub.greeted(Hello("n", "third", topology.log.id, 0), now)
    echo = hub.received("n", Ping(0.0), now)[0]
    assert isinstance(echo, Send)
    assert echo.message == Echo(0.0, LEASE)
    assert [act for act in hub.tick(now + 2.5) if isinstance(act, Confirmed) and act.number == 1] == []


def test_a_goodbye_of_one_process_is_none_of_another() -> None:
    topology, nodes = running()
    old = nodes["far-1"]
    assert old.connection is not None
    topology.cut(old.connection)
    new = topology.start("far-1", sole=False, zombie=True)
    connection = topology.connect(new)
    topology.flow()
    connection.node_says(new.feed.leave())
    topology.flow()
    topology.purge()
    topology.flow()
    assert topology.holds(old)
    assert topology.states(1)["far-1"] == "pending"


def test_a_restarted_hub_does_not_take_a_node_for_new_that_an_earlier_hub_gave_a_lease() -> None:
    topology, nodes = running()
    topology.restart_hub()
    mid = nodes["mid"]
    connection = topology.connect(mid)
    topology.hub_hears(connection)  # hello: it is sole, and still trusts its cache
    topology.cut(connection)
    topology.purge()
    assert topology.holds(mid)
    assert topology.states(1)["mid"] == "pending"
    topology.truth_holds()


def test_a_node_that_was_just_restarted_applies_a_purge_and_is_not_written_off() -> None:
    """It holds no lease yet, so it is as good as fenced; but `complete` is the better answer, and near."""
    topology, _ = running()
    again = topology.start("mid")
    connection = topology.connect(again)
    topology.hub_hears(connection)
    topology.purge()
    assert topology.states(1)["mid"] == "pending"
    topology.flow()
    assert receipt_state(topology, 1) is State.COMPLETE


def test_a_node_that_was_restarted_and_died_before_it_had_a_lease_holds_no_purge_up() -> None:
    topology, _ = running()
    connection = topology.connect(topology.start("far-1"))
    topology.hub_hears(connection)
    topology.cut(connection)
    topology.purge()
    assert topology.states(1)["far-1"] == "fenced"


def test_a_node_that_says_goodbye_holds_no_purge_up() -> None:
    topology, nodes = running()
    far = nodes["far-1"]
    assert far.connection is not None
    far.connection.node_says(far.feed.leave())
    assert not topology.holds(far)
    topology.flow()
    topology.purge()
    topology.flow()
    assert topology.states(1)["far-1"] == "fenced"
    assert receipt_state(topology, 1) is State.PARTIAL


def test_a_trimmed_journal_makes_everything_stale() -> None:
    topology, nodes = running()
    far = nodes["far-1"]
    assert far.connection is not None
    topology.cut(far.connection)
    for _ in range(4):
        topology.purge()
    topology.flow()
    topology.log.trim()
    topology.connect(far)
    topology.flow()
    assert (far.applied.number, far.applied.generation) == (4, 2)  # its first contact was a reset too
    assert receipt_state(topology, 4) is State.COMPLETE
    topology.truth_holds()


def test_a_replaced_journal_makes_everything_stale_though_its_numbers_fit() -> None:
    topology, nodes = running()
    topology.purge()
    topology.purge()
    topology.flow()
    topology.restart_hub(replaced=True)
    for _ in range(2):
        topology.purge()
    for process in nodes.values():
        topology.connect(process)
    topology.flow()
    for process in nodes.values():
        assert (process.applied.journal, process.applied.number) == (topology.log.id, 2)
        assert process.applied.generation == 2
    topology.truth_holds()


def test_no_lease_before_a_reset_is_done_though_the_new_journal_is_empty() -> None:
    topology, nodes = running({"mid": 0})
    mid = nodes["mid"]
    topology.restart_hub(replaced=True)
    connection = topology.connect(mid)
    topology.hub_hears(connection)  # hello
    topology.hub_hears(connection)  # ping
    messages = [heard_by_node(line) for line in connection.to_node]
    assert [message.grant for message in messages if isinstance(message, Echo)] == [0.0]
    topology.flow()
    topology.wait(1.0)
    topology.flow()
    assert mid.lease.until == topology.now + mid.offset + LEASE


def test_a_node_ahead_of_a_hub_that_was_restored_from_a_backup_starts_afresh() -> None:
    topology, nodes = running()
    for _ in range(3):
        topology.purge()
    topology.flow()
    del topology.log.orders[1:]
    topology.restart_hub()
    for process in nodes.values():
        topology.connect(process)
    topology.flow()
    assert {(process.applied.number, process.applied.generation) for process in nodes.values()} == {(1, 2)}


def test_a_restarted_hub_knows_nothing_of_leases_and_waits_one_out() -> None:
    topology, nodes = running()
    topology.restart_hub()
    topology.purge()  # nobody has connected again
    topology.wait(LEASE - 0.5)
    assert topology.states(1)["mid"] == "pending"
    topology.truth_holds()
    topology.wait(0.5 + margin(LEASE) + 0.01)
    assert topology.states(1)["mid"] == "fenced"
    for process in nodes.values():
        topology.connect(process)
    topology.flow()
    assert receipt_state(topology, 1) is State.COMPLETE


def test_a_fenced_node_gets_no_lease_for_a_young_order_that_it_was_fenced_for() -> None:
    """It was gone for long, a purge is answered at once with fenced, and it is back a moment later."""
    topology, nodes = running()
    far = nodes["far-1"]
    assert far.connection is not None
    topology.cut(far.connection)
    topology.wait(2 * LEASE)
    topology.flow()
    topology.purge()
    topology.flow()
    assert topology.states(1)["far-1"] == "fenced"
    connection = topology.connect(far)
    topology.hub_hears(connection)  # hello
    topology.hub_hears(connection)  # ping
    messages = [heard_by_node(line) for line in connection.to_node]
    assert [message.grant for message in messages if isinstance(message, Echo)] == [0.0]
    topology.flow()
    topology.truth_holds()
    assert topology.holds(far)


def test_a_thousand_orders_are_fed_in_bounded_pieces() -> None:
    topology, nodes = running()
    far = nodes["far-1"]
    assert far.connection is not None
    topology.cut(far.connection)
    for _ in range(1500):
        topology.purge()
    topology.flow()
    connection = topology.connect(far)
    topology.hub_hears(connection)
    topology.hub_hears(connection)
    groups = [len(m.orders) for m in map(heard_by_node, connection.to_node) if isinstance(m, Orders)]
    assert groups == [128] * 4
    topology.flow()
    assert far.applied.number == 1500


def test_a_rush_of_purges_takes_nobodys_lease() -> None:
    topology, nodes = running()
    for _ in range(200):
        topology.purge()
        topology.wait(0.05)
        topology.flow()
        assert all(topology.holds(process) for process in nodes.values())
    assert receipt_state(topology, 200) is State.COMPLETE


def test_the_hub_drops_whom_it_cannot_believe() -> None:
    topology, nodes = running()
    topology.purge()
    topology.flow()
    assert topology.hub.greeted(Hello("stranger", "s", "", 0), 0.0)[0] == Drop(
        "stranger", "no node of this topology, or the hub itself"
    )
    assert isinstance(topology.hub.greeted(Hello(OWN, "s", "", 0), 0.0)[0], Drop)
    for message in (Confirm(99), Confirm(1, resets=5), Hello("mid", "s", "", 0), Malformed("x")):
        topology.connect(nodes["mid"])
        topology.flow()
        acts = topology.hub.received("mid", message, topology.now)
        assert [act.node for act in acts if isinstance(act, Drop)] == ["mid"]
        assert topology.hub.received("mid", Ping(0.0), topology.now) == []


def test_a_node_that_stays_silent_is_dropped_and_a_silent_hub_is_left() -> None:
    topology, nodes = running()
    nodes["mid"].frozen = True
    for _ in range(11):
        topology.wait(1.0)
        topology.flow()
    assert [drop.node for drop in topology.dropped] == ["mid"]
    far = nodes["far-1"]
    assert not far.feed.stalled(topology.now + far.offset)
    assert far.feed.stalled(topology.now + far.offset + LEASE + 0.1)


def feed() -> NodeFeed:
    node = NodeFeed("n", "s", Applied("j", 5), Lease(LEASE))
    assert node.connected(100.0) == [Hello("n", "s", "j", 5), Ping(100.0)]
    return node


def order(number: int) -> Order:
    return Order(number, 0.0, Selection(all=True))


@pytest.mark.parametrize(
    "messages",
    [
        [Orders((order(6),))],
        [Reset("j", 9, "why")],
        [Welcome("j", 5, 5.0), Welcome("j", 5, 5.0)],
        [Welcome("j", 7, 5.0), Orders((order(7),))],
        [Welcome("j", 7, 5.0), Orders((order(6), order(8)))],
        [Welcome("k", 6, 5.0), Orders((order(6),))],
        [Welcome("k", 6, 5.0), Reset("j", 6, "why")],
        [Welcome("j", 5, 5.0), Echo(100.5, 5.0)],
        [Echo(101.0, 5.0)],
    ],
    ids=["orders", "reset", "two welcomes", "gap", "inner gap", "other orders", "other reset", "echo", "early echo"],
)
def test_a_node_breaks_with_a_hub_that_it_cannot_believe(messages: list[Welcome | Orders | Reset | Echo]) -> None:
    node = feed()
    acts = [act for message in messages for act in node.received(message, 101.0)]
    assert isinstance(acts[-1], Broken)


def test_a_node_is_not_ready_by_the_numbers_of_another_journal() -> None:
    node = feed()
    node.received(Welcome("k", 3, 5.0), 101.0)
    assert not node.ready
    assert node.done_number is None
    node.lost()
    assert node.connected(102.0)[0] == Hello("n", "s", "", 0)


def test_an_order_of_a_journal_that_is_gone_is_not_confirmed_to_the_new_one() -> None:
    node = feed()
    node.received(Welcome("j", 6, 5.0), 101.0)
    [purge] = node.received(Orders((order(6),)), 101.0)
    node.lost()
    node.connected(102.0)
    node.received(Welcome("k", 6, 5.0), 102.0)
    assert isinstance(purge, Purge)
    assert node.done(purge, 1, 1, 102.0) == []
    assert not node.ready


def test_only_the_last_of_two_resets_counts() -> None:
    node = feed()
    node.received(Welcome("j", 12, 5.0), 101.0)
    [first] = node.received(Reset("j", 9, "why"), 101.0)
    [second] = node.received(Reset("j", 12, "why"), 101.0)
    assert isinstance(first, Forget)
    assert isinstance(second, Forget)
    assert node.done(first, None, None, 102.0) == []
    assert not node.ready
    assert node.done(second, None, None, 102.0)[0] == Confirm(12, resets=2)
    assert node.ready


def test_orders_behind_a_reset_are_confirmed_after_it_each_by_itself() -> None:
    node = feed()
    node.received(Welcome("j", 10, 5.0), 101.0)
    [forget] = node.received(Reset("j", 9, "why"), 101.0)
    [purge] = node.received(Orders((order(10),)), 101.0)
    assert isinstance(forget, Forget)
    assert isinstance(purge, Purge)
    assert node.done(forget, 4, 40, 102.0)[0] == Confirm(9, 4, 40, resets=1)
    assert not node.ready
    assert node.done(purge, 2, 20, 102.0)[0] == Confirm(10, 2, 20, resets=1)
    assert node.ready


def test_a_confirmation_that_crosses_a_reset_is_void() -> None:
    topology, nodes = running({"mid": 0})
    mid = nodes["mid"]
    for _ in range(3):
        topology.purge()
        topology.flow()
    topology.purge()
    topology.node_hears(mid)  # has order 4 in hand
    assert mid.connection is not None
    topology.cut(mid.connection)
    topology.log.trim()
    topology.purge()
    topology.log.trim()  # 5 is left
    connection = topology.connect(mid)  # hello: after 3
    topology.node_does(mid)  # 4 is confirmed on the new connection, before the reset has arrived
    while connection.to_hub:
        topology.hub_hears(connection)
    assert topology.states(4)["mid"] == "pending"
    topology.flow()
    assert mid.applied.number == 5
    assert receipt_state(topology, 5) is State.COMPLETE
    assert topology.dropped == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"is":"nonsense"}',
        b'{"is":"ping"}',
        b'{"is":"ping","t0":"1"}',
        b'{"is":"ping","t0":NaN}',
        b'{"is":"ping","t0":1.0,"more":1}',
        b'{"is":"confirm","number":-1}',
        b'{"is":"confirm","number":1.5}',
        b'{"is":"confirm","number":99999999999999999999}',
        b'{"is":"hello","node":"","session":"s","journal":"","after":0}',
        b'{"is":"echo","t0":1.0,"grant":1.0}',
        b'{"is":"ping","t0":' + b"[" * 5000,
    ],
)
def test_what_is_no_message_of_a_node_is_malformed(line: bytes) -> None:
    assert isinstance(heard_by_hub(line), Malformed)


@pytest.mark.parametrize(
    "message",
    [Hello("n", "s", "j", 3, True), Ping(0.1 + 0.2), Confirm(3, 1, 2, 1), Confirm(0)],
)
def test_messages_of_a_node_survive_the_wire(message: Hello | Ping | Confirm) -> None:
    line = encode(message)
    assert b"\n" not in line
    assert heard_by_hub(line) == message
    assert isinstance(heard_by_node(line), Malformed)


@pytest.mark.parametrize(
    "message",
    [
        Welcome("j", 3, 5.0),
        Reset("j", 3, "why"),
        Echo(1e9 + 0.1, 4.99),
        Orders((Order(1, 0.5, Selection(tags=("\xe9",)), True),)),
    ],
)
def test_messages_of_a_hub_survive_the_wire(message: Welcome | Reset | Echo | Orders) -> None:
    line = encode(message)
    assert b"\n" not in line
    assert heard_by_node(line) == message
    assert isinstance(heard_by_hub(line), Malformed)


def test_a_hub_waits_one_lease_for_those_that_a_process_before_it_may_have_granted() -> None:
    topology = Topology({"mid": 0})
    topology.purge()
    assert topology.states(1)["mid"] == "fenced"
    cautious = Topology({"mid": 0}, long_ago=False)
    cautious.purge()
    assert cautious.states(1)["mid"] == "pending"
    assert Fenced("mid", 1) in cautious.hub.tick(cautious.now + LEASE + 1)
