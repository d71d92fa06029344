"""The secrets that a topology names but does not hold: read from the environment or a file when a node starts.

Not part of load(): `check` must be able to judge a file on a machine that has none of its secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seawall.config.problems import ConfigError, Problem
from seawall.config.schema import SecretSetting, TokenSetting, Topology

# RFC 6750 2.1 allows any token68. Sixteen characters of one are some 80 bits at best; less can be guessed.
LEAST_CHARACTERS = 16
MOST_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Secret:
    """A token of the admin port with its secret; its repr does not tell it."""

    name: str
    secret: str = field(repr=False)
    may: frozenset[str]


def read_secrets(topology: Topology, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """The admin tokens of the file. Raises ConfigError naming every one that cannot be had."""
    problems: list[Problem] = []
    secrets: list[Secret] = []
    source = topology.source
    for index, token in enumerate(topology.admin.tokens):
        try:
            secrets.append(Secret(token.name, _secret(token, environ), frozenset(scope.value for scope in token.may)))
        except _NotUsable as error:
            path = f"admin.tokens[{index}].{'file' if token.env is None else 'env'}"
            problems.append(Problem(source.file, source.at(path), path, str(error)))
    if problems:
        raise ConfigError(problems)
    return tuple(secrets)


def shared_secret(topology: Topology, environ: Mapping[str, str]) -> str | None:
    """What the nodes of this topology know each other by. None: they may make one for themselves.

    They may where none is set and nobody but this machine can reach any of them; a user's processes then find the
    same one. Raises ConfigError where it cannot be had, or where one has to be set.
    """
    source, setting = topology.source, topology.purge.secret
    if setting is not None:
        path = f"purge.secret.{'file' if setting.env is None else 'env'}"
        try:
            return _secret(setting, environ)
        except _NotUsable as error:
            raise ConfigError([Problem(source.file, source.at(path), path, str(error))]) from error
    nodes = [node for node in topology.nodes.values() if node.role.caches]
    if len(nodes) < 2:
        return None
    for node in nodes:
        for key, address in (("listen", node.listen), ("admin", node.admin)):
            if address is not None and not address.loopback:
                path = f"nodes.{node.name}.{key}"
                message = "others can reach this, so the nodes need a secret to know each other by"
                raise ConfigError(
                    [Problem(source.file, source.at(path), path, message, "purge: {secret: {env: SEAWALL_SECRET}}")]
                )
    return None


class _NotUsable(Exception):
    """There is no such secret, or it is none. The text never repeats it."""


def _secret(token: TokenSetting | SecretSetting, environ: Mapping[str, str]) -> str:
    if token.env is not None:
        if token.env not in environ:
            raise _NotUsable(f"the environment variable {token.env} is not set")
        return _usable(environ[token.env], f"the environment variable {token.env}")
    file = Path(token.file or "")
    try:
        with file.open("rb") as opened:
            text = opened.read(MOST_CHARACTERS + 3).decode("ascii")
    except UnicodeDecodeError as error:
        raise _NotUsable(f"{file} is not one line of visible ASCII") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _NotUsable(f"{file} cannot be read: {why}") from error
    return _usable(text.removesuffix("\n").removesuffix("\r"), str(file))


def _usable(secret: str, place: str) -> str:
    if not LEAST_CHARACTERS <= len(secret) <= MOST_CHARACTERS:
        raise _NotUsable(f"{place} holds a token of {len(secret)} characters, at least {LEAST_CHARACTERS} are needed")
    if not all("!" <= character <= "~" for character in secret):
        raise _NotUsable(f"{place} is not one line of visible ASCII")
    return secret
