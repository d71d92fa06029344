"""`seawall stat`: the counters of a node, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from console import say
from console.adminclient import AdminError, AdminTimeout, NotAnAdminUrl, admin_at, get
from console.exits import Exit


def stat(admin: str, token: str | None, *, json: bool) -> int:
    """Prints what GET /v1/stats says."""
    try:
        stats = get(admin_at(admin), "/v1/stats", token)
    except NotAnAdminUrl as error:
        say.error(str(error))
        return Exit.USAGE
    except AdminTimeout as error:
        say.error(str(error))
        return Exit.TIMED_OUT
    except AdminError as error:
        say.error(str(error))
        return Exit.FAILED
    if json:
        say.json_line(stats)
        return Exit.DONE
    say.table(str(stats.get("node", admin)), ("counter", "value"), list(_rows("", stats)))
    return Exit.DONE


def _rows(prefix: str, section: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in section.items():
        path = f"{prefix}.{name}" if prefix else name
        match value:
            case dict():
                yield from _rows(path, value)
            case None:
                yield path, "–"
            case float():
                yield path, f"{value:.6g}"
            case _:
                yield path, str(value)
