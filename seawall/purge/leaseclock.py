"""The clock that leases are counted on: seconds that go on while the machine sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

# On Linux time.monotonic() stands still during suspend: a laptop would wake up trusting what its hub has long
# written off (lease.py). Elsewhere the monotonic clock is the best there is; on macOS it stands still as well.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


# Seconds from an arbitrary start, never backwards. No function of ours around it: each hit asks, and that is 0.05 us.
lease_clock: Callable[[], float] = time.monotonic if _CLOCK is None else partial(time.clock_gettime, _CLOCK)
