"""The admin port's description of itself (OpenAPI 3.1). Kept by hand; a test compares it with the routes."""

from __future__ import annotations

from seawall.telemetry.metrics import JSON

_PROBLEM: JSON = {"$ref": "#/components/responses/Problem"}
_TOKEN: JSON = [{"token": []}]


def _answer(description: str, media_type: str = "application/json") -> JSON:
    return {"description": description, "content": {media_type: {"schema": {}}}}


def description(version: str) -> dict[str, JSON]:
    """The document, of this version of Seawall."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Seawall admin port",
            "version": version,
            "description": "Health, metrics and statistics of one node. Errors are RFC 9457 problem documents.",
        },
        "paths": {
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
        },
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
