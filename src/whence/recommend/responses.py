"""Answers as JSON: encoded once, without a model in between."""

from collections.abc import Mapping

import msgspec
from fastapi import Response

JSON = "application/json"


def json_response(document: object, status: int = 200) -> Response:
    """An answer from a document; times are written in UTC with `Z`."""
    return Response(msgspec.json.encode(document), status, media_type=JSON)


def raw_json(body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that is JSON already."""
    return Response(body, media_type=JSON, headers=dict(headers or {}))
