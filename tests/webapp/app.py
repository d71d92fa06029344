"""A small web application as people write them: static files, a login, a list, uploads, ticks. Runs as a process.

It knows nothing of caches. Some routes say how they may be cached, and some, as in real life, say nothing.
`python app.py [PORT]` prints {"event": "ready", "port": N} and serves until it is killed.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import itertools
import json
import secrets
import sys
import threading
import time
from collections.abc import Iterator

from flask import Flask, Response, abort, redirect, request
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response as AnyResponse

app = Flask(__name__)
app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600

lock = threading.Condition()
users: dict[str, str] = {}  # session id -> name
notes: list[str] = ["first"]
rendered = itertools.count(1)
acknowledged: dict[str, int] = {}  # ticks that a stream's page has shown

TICKS = 5
PATIENCE = 20.0
WORDS = "The quick brown fox jumps over the lazy dog.\n" * 200


def shown(title: str, inside: str, status: int = 200) -> Response:
    return Response(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        '<link rel=stylesheet href="/static/site.css"><script defer src="/static/site.js"></script>'
        f"<h1>{title}</h1>{inside}\n",
        status,
    )


@app.get("/")
def home() -> AnyResponse:
    answer = shown("Home", '<p><a href="/login">Log in</a> <a href="/notes">Notes</a>')
    answer.cache_control.public = True
    answer.cache_control.max_age = 60
    answer.add_etag()
    return answer.make_conditional(request)


@app.get("/login")
def login_form() -> Response:
    return shown("Log in", "<form method=post><input name=name id=name><button id=go>Go</button></form>")


@app.post("/login")
def login() -> AnyResponse:
    session = secrets.token_hex(16)
    users[session] = request.form["name"]
    answer = redirect("/me", 303)
    answer.set_cookie("sid", session, httponly=True, samesite="Lax")
    return answer


def who() -> str:
    return html.escape(users.get(request.cookies.get("sid", ""), "stranger"))


@app.get("/me")
def me() -> Response:
    """Careless: a page for one user that does not say so."""
    time.sleep(0.02)  # a database, so that requests meet
    return shown("Me", f"<p id=hello>Hello {who()}</p>")


@app.get("/account")
def account() -> Response:
    """Careful: the same, and says for whom it is."""
    time.sleep(0.02)
    answer = shown("Account", f"<p id=hello>Hello {who()}</p>")
    answer.cache_control.private = True
    answer.cache_control.max_age = 60
    answer.vary.add("Cookie")
    return answer


@app.get("/visit")
def visit() -> Response:
    """Careless: cacheable in so many words, and it sets a cookie for whoever asked."""
    session = request.cookies.get("visitor") or secrets.token_hex(16)
    answer = shown("Visit", f"<p id=visitor>{html.escape(session)}</p>")
    answer.cache_control.max_age = 60
    answer.set_cookie("visitor", session)
    return answer


@app.get("/notes")
def list_notes() -> Response:
    items = "".join(f"<li>{html.escape(note)}" for note in notes)
    form = '<form method=post action="/notes/add"><input name=note id=note><button id=add>Add</button></form>'
    answer = shown("Notes", f"<ul id=list>{items}</ul><p id=rendered>{next(rendered)}</p>{form}")
    answer.cache_control.public = True
    answer.cache_control.max_age = 300
    return answer


@app.post("/notes/add")
def add_note() -> AnyResponse:
    notes.append(request.form["note"])
    return redirect("/notes", 303)


@app.get("/upload")
def upload_form() -> Response:
    fields = "<input type=file name=file id=file><button id=send>Send</button>"
    return shown("Upload", f'<form method=post enctype="multipart/form-data">{fields}</form>')


@app.post("/upload")
def upload() -> Response:
    digest, size = hashlib.sha256(), 0
    while piece := request.files["file"].stream.read(65536):
        digest.update(piece)
        size += len(piece)
    return shown("Uploaded", f"<p id=size>{size}</p><p id=sha256>{digest.hexdigest()}</p>")


@app.get("/ticks")
def ticks() -> Response:
    """Shows each tick and tells the server so; the server sends no further tick before it is told."""
    script = """
    const stream = Math.random().toString(36).slice(2);
    const source = new EventSource("/ticks/stream/" + stream);
    source.onmessage = (event) => {
      document.querySelector("#ticks").insertAdjacentHTML("beforeend", "<li>" + event.data);
      fetch("/ticks/shown/" + stream, {method: "POST"});
    };
    source.addEventListener("done", () => { source.close(); document.title = "Done"; });
    """
    return shown("Ticks", f"<ol id=ticks></ol><script>{script}</script>")


@app.get("/ticks/stream/<stream>")
def tick_stream(stream: str) -> Response:
    def events() -> Iterator[str]:
        for tick in range(1, TICKS + 1):
            yield f"data: tick {tick}\n\n"
            with lock:
                # Whoever holds a tick back to send it along with the next one waits in vain.
                if not lock.wait_for(lambda tick=tick: acknowledged.get(stream, 0) >= tick, PATIENCE):  # type: ignore[misc]
                    return
        yield "event: done\ndata: .\n\n"

    return Response(events(), mimetype="text/event-stream", headers={"Cache-Control": "no-cache"})


@app.post("/ticks/shown/<stream>")
def tick_shown(stream: str) -> tuple[str, int]:
    with lock:
        acknowledged[stream] = acknowledged.get(stream, 0) + 1
        lock.notify_all()
    return "", 204


@app.get("/words")
def words() -> AnyResponse:
    answer = Response(WORDS, mimetype="text/plain")
    if request.accept_encodings["gzip"] > 0:
        answer.set_data(gzip.compress(WORDS.encode(), mtime=0))
        answer.content_encoding = "gzip"
    answer.vary.add("Accept-Encoding")
    answer.cache_control.public = True
    answer.cache_control.max_age = 60
    answer.add_etag()
    return answer.make_conditional(request)


@app.get("/broken")
def broken() -> Response:
    abort(500)


@app.errorhandler(404)
def missing(_: Exception) -> Response:
    return shown("Not here", "<p>Nothing at this address.", 404)


class Quiet(WSGIRequestHandler):
    """The server without its line for each request."""

    def log(self, type: str, message: str, *args: object) -> None:
        if type == "error":
            super().log(type, message, *args)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
    print(json.dumps({"event": "ready", "port": server.port}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
