"""The admin port's description of itself (OpenAPI 3.1). Kept by hand; a test compares it with the routes."""

from __future__ import annotations

from seawall.telemetry.metrics import JSON

_PROBLEM: JSON = {"$ref": "#/components/responses/Problem"}
_TOKEN: JSON = [{"token": []}]


def _answer(description: str, media_type: str = "application/json") -> JSON:
    return {"description": description, "content": {media_type: {"schema": {}}}}


_GUARDED: dict[str, JSON] = {"401": _PROBLEM, "403": _PROBLEM}
# What a node that is not the hub says when the hub is gone or gives no answer; 508 where it is taken for the hub.
_PASSED: dict[str, JSON] = {"502": _PROBLEM, "503": _PROBLEM, "504": _PROBLEM, "508": _PROBLEM}

_STRINGS: dict[str, JSON] = {"type": "array", "items": {"type": "string"}, "maxItems": 1000}
_PURGE: JSON = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "urls": _STRINGS,
        "tags": _STRINGS,
        "prefixes": _STRINGS,
        "hosts": _STRINGS,
        "all": {"type": "boolean", "default": False},
        "soft": {"type": "boolean", "default": False},
        "dry_run": {"type": "boolean", "default": False},
        "wait": {"enum": ["all", "accepted"], "default": "all"},
        "timeout": {"type": "string", "default": "30s", "examples": ["500ms", "30s", "2m"]},
    },
}
_RECEIPT: JSON = {
    "type": "object",
    "required": ["id", "state", "matched", "nodes"],
    "properties": {
        "id": {"type": ["integer", "null"], "description": "null of a dry run"},
        "state": {"enum": ["complete", "partial", "accepted"]},
        "matched": {"type": "integer"},
        "soft": {"type": "boolean"},
        "at": {"type": "number", "description": "seconds since the epoch"},
        "nodes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "node": {"type": "string"},
                    "state": {"enum": ["applied", "fenced", "pending", "counted", "unknown"]},
                    "matched": {"type": ["integer", "null"]},
                    "bytes": {"type": ["integer", "null"]},
                    "ms": {"type": ["number", "null"]},
                },
            },
        },
        "warning": {"type": "string"},
    },
}


def _receipt(description: str) -> JSON:
    return {"description": description, "content": {"application/json": {"schema": _RECEIPT}}}


def _parameter(name: str, place: str, schema: JSON) -> JSON:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


_PATHS: dict[str, JSON] = {
    "/healthz": {
        "get": {
            "summary": "Is the process alive?",
            "security": [],
            "responses": {"200": _answer("It is.")},
        }
    },
    "/readyz": {
        "get": {
            "summary": "Does the node take requests?",
            "security": [],
            "responses": {"200": _answer("It does."), "503": _PROBLEM},
        }
    },
    "/metrics": {
        "get": {
            "summary": "Counters for Prometheus. Open on loopback unless admin.metrics says otherwise.",
            "security": [{}, {"token": []}],
            "responses": {
                "200": _answer("All metrics.", "text/plain"),
                "401": _PROBLEM,
                "403": _PROBLEM,
            },
        }
    },
    "/v1/stats": {
        "get": {
            "summary": "Counters since the node started.",
            "security": _TOKEN,
            "responses": {"200": _answer("The counters."), "401": _PROBLEM, "403": _PROBLEM},
        }
    },
    "/v1/openapi.json": {
        "get": {
            "summary": "This document.",
            "security": _TOKEN,
            "responses": {"200": _answer("OpenAPI 3.1."), "401": _PROBLEM, "403": _PROBLEM},
        }
    },
}
_PURGE_PATHS: dict[str, JSON] = {
    "/v1/purge": {
        "post": {
            "summary": "Forgets what is named on every node, or counts it (dry_run). Scope purge.",
            "security": _TOKEN,
            "requestBody": {"required": True, "content": {"application/json": {"schema": _PURGE}}},
            "responses": {
                "200": _receipt("complete: every node has applied it."),
                "202": _receipt("accepted: written down; a node that is pending may still serve what was purged."),
                "207": _receipt("partial: nothing purged can be served any more, but a node has not confirmed."),
                "400": _PROBLEM,
                "413": _PROBLEM,
                **_GUARDED,
                **_PASSED,
            },
        }
    },
    "/v1/purges": {
        "get": {
            "summary": "The journal, newest first. Scope read or purge.",
            "security": _TOKEN,
            "parameters": [
                _parameter("after", "query", {"type": "integer", "description": "only lower numbers: `next`"}),
                _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
            ],
            "responses": {"200": _answer("Receipts."), "400": _PROBLEM, **_GUARDED, **_PASSED},
        }
    },
    "/v1/purges/{id}": {
        "get": {
            "summary": "One purge and what has become of it by now. Scope read or purge.",
            "security": _TOKEN,
            "parameters": [_parameter("id", "path", {"type": "integer"})],
            "responses": {"200": _receipt("The receipt."), "404": _PROBLEM, **_GUARDED, **_PASSED},
        }
    },
    "/v1/topology": {
        "get": {
            "summary": "The nodes, and how far each has followed the orders, as the hub sees them.",
            "security": _TOKEN,
            "responses": {"200": _answer("The nodes."), **_GUARDED, **_PASSED},
        }
    },
}
_WARM: JSON = {
    "type": "object",
    "additionalProperties": False,
    "required": ["urls"],
    "properties": {
        "urls": {**_STRINGS, "minItems": 1},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 32},
        "timeout": {"type": "string", "default": "30s", "description": "for each URL, at most 60s"},
    },
}
_WARMED: JSON = {
    "type": "object",
    "required": ["url", "status", "outcome", "stored", "why", "bytes", "ms"],
    "properties": {
        "url": {"type": "string"},
        "status": {"type": ["integer", "null"], "description": "null: there was no reply"},
        "outcome": {"enum": ["HIT", "MISS", "STALE", "PASS", "ERROR", None]},
        "stored": {"type": "boolean"},
        "why": {"type": ["string", "null"], "description": "why nothing is stored; of STALE, why it was given"},
        "bytes": {"type": "integer"},
        "ms": {"type": "number"},
    },
}
_TOP: JSON = {"type": "integer", "minimum": 1, "maximum": 10000, "default": 100}
_POPULAR: JSON = {
    "description": "URLs, the most asked for first.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "urls": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "url": {"type": "string"},
                                "hits": {"type": "integer", "description": "lately: old ones count less and less"},
                            },
                        },
                    }
                },
            }
        }
    },
}
_SELECTED: JSON = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "urls": _STRINGS,
        "tags": _STRINGS,
        "prefixes": _STRINGS,
        "hosts": _STRINGS,
        "all": {"type": "boolean", "default": False},
        "top": _TOP,
    },
}
_WARM_PATHS: dict[str, JSON] = {
    "/v1/warm": {
        "post": {
            "summary": "Asks this node for URLs as a client would, so that the next client gets a hit. Scope warm.",
            "security": _TOKEN,
            "requestBody": {"required": True, "content": {"application/json": {"schema": _WARM}}},
            "responses": {
                "200": {
                    "description": "What became of each URL: in the order of the request, or, as lines, as they come.",
                    "content": {
                        "application/json": {
                            "schema": {"type": "object", "properties": {"urls": {"type": "array", "items": _WARMED}}}
                        },
                        "application/x-ndjson": {"schema": _WARMED},
                    },
                },
                "400": _PROBLEM,
                "413": _PROBLEM,
                "429": _PROBLEM,
                **_GUARDED,
            },
        }
    },
    "/v1/popular": {
        "get": {
            "summary": "Which stored URLs this node was asked for most. Scope read or warm.",
            "security": _TOKEN,
            "parameters": [_parameter("top", "query", _TOP)],
            "responses": {"200": _POPULAR, "400": _PROBLEM, **_GUARDED},
        },
        "post": {
            "summary": "The same of those that a purge with this selection would meet. Scope read or warm.",
            "security": _TOKEN,
            "requestBody": {"required": True, "content": {"application/json": {"schema": _SELECTED}}},
            "responses": {"200": _POPULAR, "400": _PROBLEM, "413": _PROBLEM, **_GUARDED},
        },
    },
}
_FEED_PATHS: dict[str, JSON] = {
    "/v1/feed": {
        "get": {
            "summary": "The orders as a WebSocket, for the nodes of the topology. Their shared secret only.",
            "security": _TOKEN,
            "responses": {"101": {"description": "The feed begins."}, "426": _PROBLEM, **_GUARDED},
        }
    },
}


def description(version: str, *, purges: bool = False, feeds: bool = False, warms: bool = False) -> dict[str, JSON]:
    """The document, of this version of Seawall, for a node with these resources."""
    paths = {
        **_PATHS,
        **(_PURGE_PATHS if purges else {}),
        **(_FEED_PATHS if feeds else {}),
        **(_WARM_PATHS if warms else {}),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Seawall admin port",
            "version": version,
            "description": "Health, metrics, statistics and purges of one node. Errors are RFC 9457 problem documents.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "Problem": {
                    "description": "What went wrong.",
                    "content": {
                        "application/problem+json": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "type": {"type": "string"},
                                    "title": {"type": "string"},
                                    "status": {"type": "integer"},
                                    "detail": {"type": "string"},
                                },
                            }
                        }
                    },
                }
            },
        },
    }
