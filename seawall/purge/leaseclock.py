"""The clock that leases are counted on: seconds that go on while the machine sleeps."""

from __future__ import annotations

import time

# On Linux time.monotonic() stands still during suspend: a laptop would wake up trusting what its hub has long
# written off (lease.py). Elsewhere the monotonic clock is the best there is; on macOS it stands still as well.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def lease_clock() -> float:
    """Seconds from an arbitrary start, never backwards."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
