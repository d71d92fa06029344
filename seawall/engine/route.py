"""Where a request goes, and by which rules: what the topology's routes are to the engine."""

from __future__ import annotations

from dataclasses import dataclass

from seawall.http.message import RequestHead
from seawall.policy.rules import Rules
from seawall.upstream.straight import Straight
from seawall.upstream.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Route:
    """Rules, and the ways to the origin."""

    rules: Rules
    upstream: Upstream
    behind: Upstream | None = None  # the way for what nobody waits for; None: the same
    straight: Straight | None = None  # the same as `upstream` in one step, for who cannot wait; None: there is none

    @property
    def background(self) -> Upstream:
        return self.upstream if self.behind is None else self.behind


@dataclass(frozen=True, slots=True)
class Everywhere:
    """The route of every request, where there is just one without conditions."""

    route: Route

    def __call__(self, head: RequestHead) -> Route:
        return self.route
