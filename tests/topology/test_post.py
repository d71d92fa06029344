"""What a keeper hands to its worker arrives whole, and half of it is no post."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from roles.post import Post, take_post
from seawall.config.flags import from_flags

POST = Post(
    topology=from_flags("http://a", "127.0.0.1:0", None, None, "x", 2),
    node="x",
    worker=1,
    listening=(7, 9),
    admin=8,
    secret="s",
    hub=Path("/proc/self/fd/3/keeper.sock"),
    alone=True,
)


def test_a_post_arrives() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(POST.encode())
        assert take_post(theirs) == POST
    assert POST.feed == "x#1"


@pytest.mark.parametrize("length", [0, 4, 8, 40])
def test_a_keeper_that_is_gone_has_posted_nothing(length: int) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(POST.encode()[:length])
        with pytest.raises(EOFError):
            take_post(theirs)
