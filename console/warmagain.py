"""`seawall purge --rewarm top:N`: what was asked for most of what a purge names is fetched again right after it.

Which URLs these are has to be asked before the purge: afterwards nobody knows any more what carried a tag. Nothing is
fetched before every node has purged, or an edge would be given the old version by a parent that has not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from console.adminclient import TIMEOUT_SECONDS, Admin, AdminError, AdminTimeout
from console.exits import Exit
from console.warm import Manner, Outcome, ask_for, describe
from console.warmsources import MOST_TOP, popular_of


class NotATop(ValueError):
    """What stands behind --rewarm is not top:N; the text says so."""


def top_of(text: str) -> int:
    """Reads `top:N`. Raises NotATop."""
    found = re.fullmatch(r"top:([0-9]{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= MOST_TOP:
        raise NotATop(f"--rewarm takes top:N, with N from 1 to {MOST_TOP}")
    return int(found[1])


class WarmAgain:
    """One command's warming, from the question before the purge to the result."""

    def __init__(self, admin: Admin, token: str | None, top: int) -> None:
        self._admin = admin
        self._token = token
        self._top = top
        self._urls: list[str] = []
        self._outcome: Outcome | None = None
        self._why_not = ""
        self.code = Exit.DONE

    def look(self, selections: Iterable[Mapping[str, object]]) -> None:
        """Before the purge. That nobody can say what is popular is no reason not to purge: it is told at the end."""
        hits: dict[str, int] = {}
        try:
            for what in selections:
                for each in popular_of(self._admin, self._token, what, self._top, TIMEOUT_SECONDS):
                    hits[each.url] = each.hits
        except AdminError as error:
            self._why_not = f"what is asked for most is not known: {error}"
            self.code = Exit.TIMED_OUT if isinstance(error, AdminTimeout) else Exit.FAILED
            return
        self._urls = sorted(hits, key=lambda url: hits[url], reverse=True)[: self._top]

    def let_be(self, why: str) -> None:
        """It is not to be done."""
        self._why_not = self._why_not or why

    def warm(self) -> None:
        """After the purge, unless there is a reason not to."""
        if self._why_not:
            return
        self._outcome = ask_for(self._admin, self._token, self._urls, Manner())
        self.code = self._outcome.code

    def as_json(self) -> dict[str, object]:
        if self._outcome is None:
            return {"state": "not done", "stopped": self._why_not}
        return self._outcome.as_json()

    def __str__(self) -> str:
        if self._outcome is None:
            return f"nothing is warmed again: {self._why_not}"
        stopped = f"; stopped: {self._outcome.why}" if self._outcome.why else ""
        return f"warmed again: {describe(self._outcome)}{stopped}"
