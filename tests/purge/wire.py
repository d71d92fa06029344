"""A topology on one scripted wire: a hub, processes of nodes, connections that a story delivers by hand.

The truth is kept beside it: which orders each process has really covered. `truth_holds` compares what the
hub says with that, at any moment of any story.
"""

from __future__ import annotations

import itertools
from collections import deque

from seawall.purge.applied import Applied
from seawall.purge.hub import Drop, Fenced, Hub, HubAct, Send
from seawall.purge.hubfeed import Confirmed
from seawall.purge.journal import Trimmed
from seawall.purge.lease import Lease, margin
from seawall.purge.messages import (
    Confirm,
    Hello,
    Malformed,
    Orders,
    ToHub,
    ToNode,
    encode,
    heard_by_hub,
    heard_by_node,
)
from seawall.purge.nodefeed import Broken, Forget, NodeFeed, Purge
from seawall.purge.order import Order
from seawall.purge.receipts import NodeState, Receipts
from seawall.purge.selection import Selection

LEASE = 5.0
OWN = "hub"

Uid = tuple[str, int]  # an order: its journal and its number


class Log:
    """A journal in memory."""

    def __init__(self, identity: str) -> None:
        self.id = identity
        self.orders: list[Order] = []
        self.first = 1

    @property
    def last(self) -> int:
        return self.first + len(self.orders) - 1

    def after(self, number: int) -> list[Order] | Trimmed:
        if not self.first - 1 <= number <= self.last:
            return Trimmed(self.first, self.last)
        return self.orders[number + 1 - self.first :]

    def append(self) -> Order:
        order = Order(self.last + 1, 0.0, Selection(tags=(f"t{self.last + 1}",)))
        self.orders.append(order)
        return order

    def trim(self) -> None:
        dropped = max(0, len(self.orders) - 1)
        del self.orders[:dropped]
        self.first += dropped


class Connection:
    """Two queues of encoded messages; cut, both are gone."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.to_hub: deque[bytes] = deque()
        self.to_node: deque[bytes] = deque()
        self.cut = False

    def hub_says(self, message: ToNode) -> None:
        if not self.cut:
            self.to_node.append(encode(message))

    def node_says(self, messages: list[ToHub]) -> None:
        if not self.cut:
            self.to_hub.extend(map(encode, messages))


class Process:
    """One process of a node, with its own clock, and what it has covered in truth: (journal, number) of orders."""

    def __init__(self, name: str, session: str, applied: Applied, covered: set[Uid], offset: float, sole: bool) -> None:
        self.name = name
        self.applied = applied
        self.lease = Lease(LEASE)
        self.feed = NodeFeed(name, session, applied, self.lease, sole=sole)
        self.covered = covered  # memory, disk and flights: nothing that these orders purged can be served
        self.offset = offset
        self.acts: deque[Purge | Forget] = deque()
        self.covering: deque[set[Uid]] = deque()
        self.connection: Connection | None = None
        self.frozen = False
        self.handed = applied.number  # the last order that it was given to apply
        self.journal_done = (applied.journal, applied.number)


class Topology:
    """One hub, nodes by rank, and the true time."""

    def __init__(self, ranks: dict[str, int], *, long_ago: bool = True) -> None:
        """`long_ago`: the hub began so long ago that no lease of a process before it can still be held."""
        self.now = 1000.0
        self.ranks = ranks
        self.counter = itertools.count(1)
        self.log = Log("journal-0")
        self.written: dict[Uid, float] = {}
        self.receipts = Receipts()
        self.hub = Hub(self.log, OWN, ranks, LEASE, self.now - (2 * LEASE + 1 if long_ago else 0))
        self.heard: dict[str, Connection] = {}  # newest greeted connection by node
        self.living: list[Process] = []  # those that may still serve; the newest of a name is the last
        self.dropped: list[Drop] = []
        self.own_todo: deque[Order] = deque()

    # --- the hub ---

    def purge(self, *, apply_here: bool = True) -> Order:
        order = self.log.append()
        self.written[self.log.id, order.number] = self.now
        self.receipts.open(order, [OWN, *self.ranks], self.now)
        self.carry_out(self.hub.ordered(order.number, self.now))
        self.own_todo.append(order)
        if apply_here:
            self.apply_here()
        return order

    def apply_here(self) -> None:
        while self.own_todo:
            order = self.own_todo.popleft()
            self.carry_out(self.hub.applied_here(order.number, 0, 0, self.now))

    def carry_out(self, acts: list[HubAct]) -> None:
        for act in acts:
            match act:
                case Send(node, message):
                    self.check_rank(node, message)
                    self.heard[node].hub_says(message)
                case Confirmed(node, number, matched, octets):
                    self.receipts.confirm(node, number, matched, octets, self.now)
                case Fenced(node, through):
                    self.receipts.fence(node, through, self.now)
                case Drop(node, _):
                    self.dropped.append(act)
                    connection = self.heard.pop(node, None)
                    if connection is not None:
                        self.cut(connection, hub_notices=False)

    def check_rank(self, node: str, message: ToNode) -> None:
        """No order leaves for a node while one of lower rank may serve what it purges."""
        if not isinstance(message, Orders):
            return
        for process in self.living:
            if self.ranks[process.name] < self.ranks[node] and self.holds(process):
                for order in message.orders:
                    assert (self.log.id, order.number) in process.covered, "sent before its parent had it"

    def restart_hub(self, *, replaced: bool = False) -> None:
        self.apply_here()
        for connection in list(self.heard.values()):
            self.cut(connection, hub_notices=False)
        self.heard.clear()
        if replaced:
            self.log = Log(f"journal-{next(self.counter)}")
        self.receipts = Receipts()
        for order in self.log.orders:
            self.receipts.open(order, [OWN, *self.ranks], self.now)
        self.hub = Hub(self.log, OWN, self.ranks, LEASE, self.now, applied=self.log.last)
        if self.log.last:
            self.receipts.confirm(OWN, self.log.last, None, None, self.now)

    # --- nodes ---

    def start(
        self, name: str, *, keep: bool = False, sole: bool = True, zombie: bool = False, offset: float = 0.0
    ) -> Process:
        """A new process of a node. `zombie`: the one before lives on without its connection being known to be lost."""
        applied, covered = Applied(), set(self.written)
        elder = next((each for each in reversed(self.living) if each.name == name), None)
        if elder is not None:
            if keep and elder.journal_done[0]:
                applied, covered = Applied(*elder.journal_done), set(elder.covered)
            if not zombie:
                for each in [each for each in self.living if each.name == name]:
                    self.kill(each)
        process = Process(name, f"s{next(self.counter)}", applied, covered, offset, sole)
        self.living.append(process)
        return process

    def kill(self, process: Process) -> None:
        self.living.remove(process)
        if process.connection is not None:
            self.cut(process.connection, hub_notices=False)

    def connect(self, process: Process) -> Connection:
        if process.connection is not None:
            self.cut(process.connection, hub_notices=False)
        connection = process.connection = Connection(process)
        connection.node_says(process.feed.connected(self.now + process.offset))
        return connection

    def cut(self, connection: Connection, *, hub_notices: bool = True) -> None:
        connection.cut = True
        connection.to_hub.clear()
        connection.to_node.clear()
        if connection.process.connection is connection:
            connection.process.connection = None
            connection.process.feed.lost()
        if hub_notices:
            self.notice(connection)

    def notice(self, connection: Connection) -> None:
        name = connection.process.name
        if self.heard.get(name) is connection:
            self.carry_out(self.hub.lost(name, self.now))
            self.heard.pop(name, None)

    def hub_hears(self, connection: Connection) -> None:
        if not connection.to_hub:
            return
        message = heard_by_hub(connection.to_hub.popleft())
        name = connection.process.name
        if isinstance(message, Hello):
            if (elder := self.heard.get(name)) is not None and elder is not connection:
                self.cut(elder, hub_notices=False)
            self.heard[name] = connection
            self.carry_out(self.hub.greeted(message, self.now))
        elif self.heard.get(name) is connection:
            if isinstance(message, Confirm) and connection.process.feed.done_number is not None:
                assert message.number <= connection.process.feed.done_number, "confirmed before it was applied"
            self.carry_out(self.hub.received(name, message, self.now))

    def node_hears(self, process: Process) -> None:
        connection = process.connection
        if connection is None or process.frozen or not connection.to_node:
            return
        message = heard_by_node(connection.to_node.popleft())
        assert not isinstance(message, Malformed)
        for act in process.feed.received(message, self.now + process.offset):
            match act:
                case Purge(order, _):
                    covers: set[Uid] = {(self.log.id, order.number)}
                    assert order.number == process.handed + 1, "not dense, or twice"
                    process.handed = order.number
                case Forget(number):
                    covers = set(self.written)
                    process.handed = number
                case Broken(why):
                    raise AssertionError(f"the node broke with its hub: {why}")
            process.acts.append(act)
            process.covering.append(covers)

    def node_does(self, process: Process) -> None:
        if process.frozen or not process.acts:
            return
        act = process.acts.popleft()
        process.covered |= process.covering.popleft()
        said = process.feed.done(act, 1, 10, self.now + process.offset)
        done = process.feed.done_number
        process.journal_done = ("", 0) if done is None else (process.applied.journal, done)
        if process.connection is not None:
            process.connection.node_says(said)

    def wait(self, seconds: float) -> None:
        """Time passes; whoever runs looks at the clock."""
        self.now += seconds
        for process in self.living:
            if not process.frozen and process.connection is not None:
                process.connection.node_says(process.feed.tick(self.now + process.offset))
        self.carry_out(self.hub.tick(self.now))

    def flow(self, *, rounds: int = 200) -> None:
        """Everything that is under way arrives, but for what is sent to or held up by frozen processes."""
        for _ in range(rounds):
            for connection in [each.connection for each in self.living if each.connection is not None]:
                while connection.to_hub and not connection.cut:
                    self.hub_hears(connection)
                while connection.to_node and not connection.process.frozen:
                    self.node_hears(connection.process)
                while connection.process.acts and not connection.process.frozen:
                    self.node_does(connection.process)
            if not any(
                each.connection is not None and (each.connection.to_hub or each.connection.to_node) and not each.frozen
                for each in self.living
            ):
                return
        raise AssertionError("they never stop talking")

    # --- the truth ---

    def holds(self, process: Process) -> bool:
        return process.lease.held(self.now + process.offset)

    def truth_holds(self) -> None:
        for process in self.living:
            if not self.holds(process):
                continue
            for order, written in self.written.items():
                if order in process.covered:
                    continue
                assert self.now < written + LEASE + margin(LEASE), f"{process.name} trusts what {order} purged"
                journal, number = order
                if journal != self.log.id or (receipt := self.receipts.get(number)) is None:
                    continue
                told = next(node for node in receipt.nodes if node.node == process.name)
                assert told.state is NodeState.PENDING, (
                    f"{process.name} is {told.state} and may serve what {order} purged"
                )

    def states(self, number: int) -> dict[str, str]:
        receipt = self.receipts.get(number)
        assert receipt is not None
        return {node.node: str(node.state) for node in receipt.nodes}
