"""What every API description says alike: problems for all that goes wrong, and the API key."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI

from whence.kit.problems import MEDIA_TYPE, TITLES, TYPE_PREFIX

COMPONENT_REF = "#/components/schemas/{model}"
"""Where a description keeps a named schema; a `ref_template` for pydantic."""

_PROBLEM_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

_PROBLEM_SCHEMA = {
    "title": "Problem",
    "type": "object",
    "description": "A problem document (RFC 9457). A problem may have further members, named with its route.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "enum": [TYPE_PREFIX + slug for slug in TITLES], "description": "Never changes."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened this time and what to do."},
        "request_id": {"type": "string", "description": "Also in the header `X-Request-ID`; our logs name it."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "problem"],
                "properties": {
                    "field": {"type": "string", "description": "As the client wrote it; empty for the whole body."},
                    "problem": {"type": "string", "description": "What is wrong and what would be right."},
                    "limit": {"description": "The bound that was passed.", "type": ["string", "number"]},
                },
            },
        },
    },
}


def problem_responses(descriptions: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for the errors worth a word of their own; all others are the `default`."""
    return {status: {"description": text, "content": _PROBLEM_CONTENT} for status, text in descriptions.items()}


def request_body(schema: str, *more_media_types: str) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body by itself.

    Args:
        schema: Name of the component that describes it as JSON.
        more_media_types: Further content types, described as text.
    """
    content: dict[str, Any] = {"application/json": {"schema": _reference(schema)}}
    content |= {media_type: {"schema": {"type": "string"}} for media_type in more_media_types}
    return {"requestBody": {"required": True, "content": content}}


def judged_alone(schema: str) -> dict[str, Any]:
    """The schema of one entry of a batch: the named component, but the batch is taken whatever the entry is."""
    anything = {"description": "An entry that breaks a rule is named in the answer and spoils none of the others."}
    return {"anyOf": [_reference(schema), anything]}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": COMPONENT_REF.format(model=schema)}


def complete(api: FastAPI, schemas: Mapping[str, Any]) -> None:
    """Make the application's description name our problems instead of FastAPI's own errors, and the API key.

    Args:
        api: The application.
        schemas: Further component schemas by name, for bodies that routes read by themselves.
    """
    describe: Callable[[], dict[str, Any]] = api.openapi

    def openapi() -> dict[str, Any]:
        description = describe()
        if "security" not in description:
            _complete(description, schemas)
        return description

    api.openapi = openapi  # type: ignore[method-assign]


def _complete(description: dict[str, Any], further: Mapping[str, Any]) -> None:
    components = description.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {**further, "Problem": _PROBLEM_SCHEMA}
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "Needed where the service has API keys."}
    }
    description["security"] = [{}, {"key": []}]
    for path in description["paths"].values():
        for operation in path.values():
            _complete_responses(operation["responses"])


def _complete_responses(responses: dict[str, Any]) -> None:
    if "HTTPValidationError" in str(responses.get("422")):
        responses["422"] = {"description": "A value is not acceptable.", "content": _PROBLEM_CONTENT}
    responses["default"] = {"description": "Anything that went wrong.", "content": _PROBLEM_CONTENT}
