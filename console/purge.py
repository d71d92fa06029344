"""`seawall purge`: forgets what is named on every node, says which node has, and ends with what a script must know.

The exit code is the worst of what happened: a CI job that goes on after 0 can rely on no node serving the old
version any more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from console import say
from console.adminclient import Admin, AdminError, AdminTimeout, Answer, NotAnAdminUrl, admin_at, post
from console.exits import Exit
from console.warmagain import NotATop, WarmAgain, top_of
from seawall.config.problems import shown
from seawall.config.units import NotAnAmount, seconds
from seawall.purge.asked import LONGEST_TIMEOUT, names
from seawall.purge.selection import MAX_NAMES, MAX_SELECTION_BYTES, Problem, Selection, parse_selection

# The node answers within the patience that it was told; this is for the way there and for its disk.
SLACK_SECONDS = 10.0
# A file of names is read whole before the first purge: a mistake in its last line must not leave half of it purged.
MAX_FILE_BYTES = 256 << 20

# Worst first.
_SEVERITY = (Exit.FAILED, Exit.TIMED_OUT, Exit.PARTIAL, Exit.NO_MATCH, Exit.DONE)


@dataclass(frozen=True, slots=True)
class Options:
    """What was said on the command line, beside whom to ask."""

    urls: Sequence[str] = ()
    tags: Sequence[str] = ()
    prefixes: Sequence[str] = ()
    hosts: Sequence[str] = ()
    everything: bool = False
    from_file: str | None = None
    soft: bool = False
    dry_run: bool = False
    wait: str = "all"
    timeout: str = "30s"
    fail_if_empty: bool = False
    rewarm: str | None = None


class _Usage(Exception):
    """The command cannot mean anything; the text says why."""


@dataclass(slots=True)
class _Outcome:
    """What became of all purges of one command."""

    answers: list[Answer] = field(default_factory=list)
    worst: Exit = Exit.DONE
    again: WarmAgain | None = None

    def add(self, answer: Answer, code: Exit) -> None:
        self.answers.append(answer)
        self.note(code)

    def note(self, code: Exit) -> None:
        self.worst = min(self.worst, code, key=_SEVERITY.index)

    @property
    def matched(self) -> int:
        return sum(_whole(answer.document.get("matched")) or 0 for answer in self.answers)


def purge(admin: str, token: str | None, options: Options, *, json: bool) -> int:
    """Asks the node for the purge, or for several where there are more names than one order takes."""
    try:
        where = admin_at(admin)
        timeout = _patience(options)
        selections = list(_batches(_selection(options)))
        again = None if options.rewarm is None else WarmAgain(where, token, top_of(options.rewarm))
    except (NotAnAdminUrl, _Usage, NotATop) as error:
        say.error(str(error))
        return Exit.USAGE
    outcome = _Outcome(again=again)
    if again is not None and not options.dry_run:
        again.look([names(selection) for selection in selections])
    complaint = _ask_all(where, token, selections, options, timeout, outcome)
    if again is not None:
        _warm_again(again, outcome, options, complaint)
    if outcome.answers:
        # Of several, one may have matched nothing; only all of them together may not.
        if options.fail_if_empty and outcome.worst is Exit.DONE and not outcome.matched:
            outcome.note(Exit.NO_MATCH)
        (_say_json if json else _say_table)(outcome)
    if complaint:
        done = f" ({len(outcome.answers)} of {len(selections)} purges are done)" if outcome.answers else ""
        say.error(f"{complaint}{done}")
    return outcome.worst


def _ask_all(
    admin: Admin,
    token: str | None,
    selections: Sequence[Selection],
    options: Options,
    timeout: float,
    outcome: _Outcome,
) -> str:
    """Asks for one after the other until one is refused; the complaint, or nothing."""
    progress = len(selections) > 1 and say.on_terminal(sys.stderr)
    try:
        for place, selection in enumerate(selections, 1):
            if progress:
                print(f"\rpurge {place} of {len(selections)}", end="", file=sys.stderr, flush=True)
            answer = post(admin, "/v1/purge", token, _body(selection, options, timeout), timeout + SLACK_SECONDS)
            outcome.add(answer, _code(answer, options))
    except AdminTimeout as error:
        outcome.note(Exit.TIMED_OUT)
        return str(error)
    except AdminError as error:
        outcome.note(Exit.FAILED)
        return str(error)
    finally:
        if progress:
            print(file=sys.stderr)
    return ""


def _warm_again(again: WarmAgain, outcome: _Outcome, options: Options, complaint: str) -> None:
    """Only after a purge that is complete: where a node still has the old version, it would be fetched from there."""
    if options.dry_run:
        again.let_be("a dry run purges nothing")
    elif complaint or any(answer.document.get("state") != "complete" for answer in outcome.answers):
        again.let_be("the purge is not complete")
    again.warm()
    outcome.note(again.code)


def _code(answer: Answer, options: Options) -> Exit:
    match answer.document.get("state"):
        case "complete":
            return Exit.DONE
        case "partial":
            return Exit.PARTIAL
        case "accepted":
            # Who does not wait has what it wanted; for who does, time has run out.
            return Exit.DONE if options.wait == "accepted" else Exit.TIMED_OUT
        case _:
            raise AdminError("what answers there is no admin port: it names no state of the purge")


# --- what is asked for ---


def _patience(options: Options) -> float:
    if options.wait not in ("all", "accepted"):
        raise _Usage(f"--wait takes all or accepted, not '{options.wait}'")
    if options.fail_if_empty and options.wait == "accepted":
        raise _Usage("--fail-if-empty has to wait for all nodes: who has not answered may have had something")
    try:
        timeout = seconds(options.timeout)
    except NotAnAmount as error:
        raise _Usage(f"--timeout: {error}" if str(error) else "--timeout takes a duration such as 30s") from error
    if timeout > LONGEST_TIMEOUT:
        raise _Usage(f"--timeout is at most {LONGEST_TIMEOUT:.0f}s; purges go on after it, and their receipts too")
    return timeout


def _selection(options: Options) -> Selection:
    named = {
        "urls": list(options.urls),
        "tags": list(options.tags),
        "prefixes": list(options.prefixes),
        "hosts": list(options.hosts),
    }
    places = {member: [f"--{flag}"] * len(named[member]) for member, flag in _FLAGS.items()}
    if options.from_file is not None:
        for row, member, text in _lines(options.from_file):
            named[member].append(text)
            places[member].append(f"{options.from_file}:{row}:")
    if options.everything:
        if any(named.values()):
            raise _Usage("--all stands alone")
        return Selection(all=True)
    if not any(named.values()):
        raise _Usage("nothing is named: --url, --tag, --prefix, --host, --all or --from-file")
    return _checked(named, places)


_FLAGS = {"urls": "url", "tags": "tag", "prefixes": "prefix", "hosts": "host"}


def _checked(named: dict[str, list[str]], places: dict[str, list[str]]) -> Selection:
    """All names in their one spelling. Each on its own: one order takes a thousand, a file may hold more."""
    found: dict[str, dict[str, None]] = {member: {} for member in named}
    for member, texts in named.items():
        for place, text in zip(places[member], texts, strict=True):
            read = parse_selection({member: [text]})
            if isinstance(read, list):
                raise _Usage(f"{place} '{shown(text)}': {_why(read)}")
            found[member].update(dict.fromkeys(getattr(read, member)))
    return _of(found)


def _why(problems: list[Problem]) -> str:
    return "; ".join(problem.what for problem in problems)


def _lines(file: str) -> Iterator[tuple[int, str, str]]:
    """Row, member and name of each line: a URL, or one of the words tag, prefix and host before a name."""
    words = {"tag": "tags", "prefix": "prefixes", "host": "hosts", "url": "urls"}
    try:
        if file == "-":
            content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with open(file, "rb") as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise _Usage(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _Usage(f"{file} is not UTF-8") from error
    if len(content) > MAX_FILE_BYTES:
        raise _Usage(f"{file} is larger than {MAX_FILE_BYTES >> 20} MiB")
    for row, line in enumerate(text.split("\n"), 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        word, _, rest = name.partition(" ")
        if word in words and rest.strip():
            yield row, words[word], rest.strip()
        else:
            yield row, "urls", name


def _batches(selection: Selection) -> Iterator[Selection]:
    """Orders of as many names as one takes."""
    if selection.all:
        yield selection
        return
    batch: dict[str, list[str]] = {member: [] for member in _FLAGS}
    count = octets = 0
    for member in _FLAGS:
        for name in getattr(selection, member):
            if count == MAX_NAMES or octets + len(name) > MAX_SELECTION_BYTES:
                yield _of(batch)
                batch = {each: [] for each in _FLAGS}
                count = octets = 0
            batch[member].append(name)
            count += 1
            octets += len(name)
    yield _of(batch)


def _of(named: Mapping[str, Iterable[str]]) -> Selection:
    return Selection(
        urls=tuple(named["urls"]),
        tags=tuple(named["tags"]),
        prefixes=tuple(named["prefixes"]),
        hosts=tuple(named["hosts"]),
    )


def _body(selection: Selection, options: Options, timeout: float) -> dict[str, object]:
    return {
        **names(selection),
        "soft": options.soft,
        "dry_run": options.dry_run,
        "wait": options.wait,
        "timeout": f"{timeout * 1000:.0f}ms",
    }


# --- what is said ---


def _say_json(outcome: _Outcome) -> None:
    again = {} if outcome.again is None else {"rewarm": outcome.again.as_json()}
    if len(outcome.answers) == 1:
        say.json_line({**outcome.answers[0].document, **again})
        return
    states = [str(answer.document.get("state")) for answer in outcome.answers]
    worst = min(states, key=("accepted", "partial", "complete").index)
    purges = [answer.document for answer in outcome.answers]
    say.json_line({"state": worst, "matched": outcome.matched, "purges": purges, **again})


def _say_table(outcome: _Outcome) -> None:
    for answer in outcome.answers:
        receipt = _read(answer.document)
        title = f"purge {receipt.id}: {receipt.state}" if receipt.id is not None else "dry run, nothing is changed"
        say.line(f"{title}, {receipt.matched} matched")
        if len(outcome.answers) == 1 or receipt.state != "complete":
            rows = [
                (node.node, node.state, _shown(node.matched), _shown(node.bytes), _shown(node.ms))
                for node in receipt.nodes
            ]
            say.table("", ("node", "state", "matched", "bytes", "ms"), rows)
        if receipt.warning:
            say.error(receipt.warning)
    if len(outcome.answers) > 1:
        say.line(f"{len(outcome.answers)} purges, {outcome.matched} matched")
    if outcome.again is not None:
        say.line(str(outcome.again))


class _Node(msgspec.Struct):
    node: str
    state: str
    matched: int | None = None
    bytes: int | None = None
    ms: float | None = None


class _Receipt(msgspec.Struct):
    state: str
    matched: int
    nodes: list[_Node]
    id: int | None = None
    warning: str = ""


def _read(document: dict[str, object]) -> _Receipt:
    try:
        return msgspec.convert(document, _Receipt)
    except msgspec.ValidationError:
        return _Receipt(str(document.get("state")), _whole(document.get("matched")) or 0, [])


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
