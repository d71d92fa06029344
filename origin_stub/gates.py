"""Named gates: barriers at which replies wait until a test lets them go. A gate is shut until it is opened."""

from __future__ import annotations

from dataclasses import dataclass

from origin_stub.bell import Bell


@dataclass(slots=True)
class Gate:
    """The state of one gate. Owned by Gates."""

    open: bool = False
    passes: int = 0  # so many more may go through while it is shut
    parked: int = 0  # replies that wait in front of it now


class Gates:
    """All gates by name; made when first mentioned, by whichever side comes first."""

    __slots__ = ("_bell", "_gates")

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._gates: dict[str, Gate] = {}

    def __repr__(self) -> str:
        return f"<Gates {self._gates}>"

    def gate(self, name: str) -> Gate:
        """The gate of that name as it stands."""
        return self._gates.setdefault(name, Gate())

    def open(self, name: str, passes: int | None = None) -> None:
        """Let everyone through from now on, or only the next `passes`."""
        gate = self.gate(name)
        if passes is None:
            gate.open = True
        else:
            gate.passes += passes
        self._bell.ring()

    def shut(self, name: str) -> None:
        """Whoever comes from now on waits."""
        gate = self.gate(name)
        gate.open, gate.passes = False, 0

    async def through(self, name: str) -> None:
        """Wait until the gate lets one more through."""
        gate = self.gate(name)
        gate.parked += 1
        self._bell.ring()
        try:
            await self._bell.until(lambda: gate.open or gate.passes > 0)
            if not gate.open:
                gate.passes -= 1
        finally:
            gate.parked -= 1

    def reset(self) -> None:
        """Let go whoever waits and forget all gates."""
        gates, self._gates = self._gates, {}
        for gate in gates.values():
            gate.open = True
        self._bell.ring()

    def as_json(self) -> dict[str, object]:
        """All gates, for the control API."""
        return {n: {"open": g.open, "passes": g.passes, "parked": g.parked} for n, g in self._gates.items()}
