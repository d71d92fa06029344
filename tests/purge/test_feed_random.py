"""Any interleaving of purges, losses, freezes, restarts and delays keeps what the hub says true.

After every step `truth_holds`: no process that may serve what an order purged is told applied or fenced for
it, and none may serve it one lease after it was written down. At the end everything is healed, and every
order becomes complete on every node.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from seawall.purge.receipts import State
from tests.purge.wire import LEASE, Connection, Process, Topology

RANKS = {"mid": 0, "far-1": 1, "far-2": 1}
nodes = st.sampled_from(sorted(RANKS))


class Weather(RuleBasedStateMachine):
    """One hub, a parent and two children, and whatever may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.topology = Topology(RANKS, long_ago=False)
        self.unnoticed: list[Connection] = []
        for name in RANKS:
            self.topology.connect(self.topology.start(name, offset=len(name) * 1000.0))
        self.topology.flow()

    def newest(self, name: str) -> Process:
        return [process for process in self.topology.living if process.name == name][-1]

    @rule(here=st.booleans())
    def purge(self, here: bool) -> None:
        self.topology.purge(apply_here=here)

    @rule()
    def apply_here(self) -> None:
        self.topology.apply_here()

    @rule(name=nodes, count=st.integers(1, 4))
    def hub_hears(self, name: str, count: int) -> None:
        connection = self.newest(name).connection
        for _ in range(count):
            if connection is not None:
                self.topology.hub_hears(connection)

    @rule(name=nodes, count=st.integers(1, 4))
    def node_hears(self, name: str, count: int) -> None:
        for _ in range(count):
            self.topology.node_hears(self.newest(name))

    @rule(name=nodes, count=st.integers(1, 4))
    def node_does(self, name: str, count: int) -> None:
        for _ in range(count):
            self.topology.node_does(self.newest(name))

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 1.0, 2.5, LEASE, LEASE + 0.2]))
    def wait(self, seconds: float) -> None:
        self.topology.wait(seconds)

    @rule()
    def flow(self) -> None:
        self.topology.flow()

    @rule(name=nodes)
    def connect(self, name: str) -> None:
        process = self.newest(name)
        if not process.frozen:
            self.topology.connect(process)

    @rule(name=nodes, noticed=st.booleans())
    def cut(self, name: str, noticed: bool) -> None:
        connection = self.newest(name).connection
        if connection is not None:
            self.topology.cut(connection, hub_notices=noticed)
            if not noticed:
                self.unnoticed.append(connection)

    @precondition(lambda self: self.unnoticed)
    @rule()
    def notice(self) -> None:
        self.topology.notice(self.unnoticed.pop())

    @rule(name=nodes)
    def freeze(self, name: str) -> None:
        self.newest(name).frozen = True

    @rule(name=nodes)
    def thaw(self, name: str) -> None:
        self.newest(name).frozen = False

    @rule(name=nodes, keep=st.booleans(), offset=st.floats(-1e4, 1e4))
    def restart(self, name: str, keep: bool, offset: float) -> None:
        self.topology.connect(self.topology.start(name, keep=keep, offset=offset))

    @precondition(lambda self: len(self.topology.living) < 6)
    @rule(name=nodes, keep=st.booleans())
    def second_process(self, name: str, keep: bool) -> None:
        """The one before is still there, cut off, with whatever lease it has."""
        old = self.newest(name)
        if old.connection is not None:
            self.topology.cut(old.connection, hub_notices=False)
        old.frozen = True  # it hears nothing; whether it serves is a matter of its lease
        self.topology.connect(self.topology.start(name, keep=keep, sole=False, zombie=True))

    @rule(name=nodes)
    def leave(self, name: str) -> None:
        process = self.newest(name)
        if not process.frozen and process.connection is not None:
            process.connection.node_says(process.feed.leave())

    @rule(replaced=st.booleans())
    def restart_hub(self, replaced: bool) -> None:
        self.topology.restart_hub(replaced=replaced)

    @rule()
    def trim(self) -> None:
        self.topology.log.trim()

    @invariant()
    def truth_holds(self) -> None:
        self.topology.truth_holds()

    def teardown(self) -> None:
        topology = self.topology
        topology.apply_here()
        # Zombies end; a lock or an operator sees to that.
        for name in RANKS:
            newest = self.newest(name)
            for process in [each for each in topology.living if each.name == name and each is not newest]:
                topology.kill(process)
            newest.frozen = False
            topology.connect(newest)
        for _ in range(20):
            topology.flow()
            topology.wait(LEASE / 5)
            topology.truth_holds()
        topology.flow()
        assert topology.dropped == [] or all("no ping" in drop.why for drop in topology.dropped)
        for name in RANKS:
            process = self.newest(name)
            assert process.feed.ready
            assert topology.holds(process)
            assert (process.applied.journal, process.applied.number) == (topology.log.id, topology.log.last)
            assert process.feed.done_number == topology.log.last
        assert {receipt.state for receipt in topology.receipts} <= {State.COMPLETE}


Weather.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_whatever_happens_the_hub_says_the_truth = Weather.TestCase
