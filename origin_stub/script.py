"""Which reply a request gets: the scripts of paths and the versions of their content. Knows no HTTP but targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from origin_stub.grammar import ScriptError, reply_of
from origin_stub.reply import Reply


@dataclass(slots=True)
class Script:
    """Replies in the order in which they are used; the last one repeats."""

    replies: tuple[Reply, ...]
    used: int = 0

    def take(self) -> Reply:
        """The next reply."""
        reply = self.replies[min(self.used, len(self.replies) - 1)]
        self.used += 1
        return reply


Asked = Reply | str | Mapping[str, object]


class Scripts:
    """The scripts by path: exact with query, exact without, then the longest prefix that was given with a `*`."""

    __slots__ = ("_exact", "_prefixes")

    def __init__(self) -> None:
        self._exact: dict[str, Script] = {}
        self._prefixes: dict[str, Script] = {}

    def set(self, path: str, replies: Asked | Sequence[Asked]) -> int:
        """Put a script in the place of whatever the path had; how many replies it holds. ScriptError if unreadable."""
        if not path.startswith("/"):
            raise ScriptError(f"path {path!r} does not begin with /")
        one = isinstance(replies, (Reply, str, Mapping))
        many: Sequence[Asked] = [replies] if one else replies  # type: ignore[list-item,assignment]
        if not many:
            raise ScriptError("a script holds at least one reply")
        script = Script(tuple(reply_of(reply) for reply in many))
        if path.endswith("*"):
            self._prefixes[path[:-1]] = script
            # Longest first, once here instead of at every request.
            self._prefixes = dict(sorted(self._prefixes.items(), key=lambda item: -len(item[0])))
        else:
            self._exact[path] = script
        return len(script.replies)

    def drop(self, path: str) -> bool:
        """Forget the script of a path, spelled as it was set."""
        where, key = (self._prefixes, path[:-1]) if path.endswith("*") else (self._exact, path)
        return where.pop(key, None) is not None

    def take(self, target: str) -> Reply | None:
        """The next reply for a request target, or None if no script covers it."""
        if not self._exact and not self._prefixes:
            return None
        script = self._exact.get(target) or self._exact.get(target.partition("?")[0])
        if script is None:
            script = next((s for prefix, s in self._prefixes.items() if target.startswith(prefix)), None)
        return None if script is None else script.take()

    def reset(self) -> None:
        self._exact.clear()
        self._prefixes.clear()


class Versions:
    """How often the content of each path has changed. Every path begins at 1."""

    __slots__ = ("_bumps", "_epoch")

    def __init__(self) -> None:
        self._epoch = 1
        self._bumps: dict[str, int] = {}

    def of(self, path: str) -> int:
        return self._epoch + self._bumps.get(path, 0)

    def bump(self, path: str | None = None) -> int:
        """The content of a path changes, or (None) that of every path; the new version. It never goes back."""
        if path is None:
            self._epoch += 1
            return self._epoch
        self._bumps[path] = self._bumps.get(path, 0) + 1
        return self.of(path)

    def reset(self) -> None:
        self._epoch = 1
        self._bumps.clear()
