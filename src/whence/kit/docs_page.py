"""The page at `/docs`: Swagger UI from the installed package, so that it works without internet."""

from functools import lru_cache
from typing import Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from swagger_ui_bundle import swagger_ui_path

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

# The vendored Swagger UI draws OpenAPI 3.1 well enough but refuses its number, so the page gives it another one.
_START: Final = """fetch("/openapi.json").then((answer) => answer.json()).then((description) => {
  description.openapi = "3.0.3";
  window.ui = SwaggerUIBundle({ spec: description, dom_id: "#page", deepLinking: true });
});
"""

_POLICY: Final = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
"""Swagger UI sets styles inline; scripts come from this service alone."""

_FILES: Final = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}

_PAGE_PATH: Final = "/docs"
_START_PATH: Final = "/docs/start.js"
DOCS_PATHS: Final = (_PAGE_PATH, _START_PATH, *(f"/docs/{name}" for name in _FILES))


@lru_cache(maxsize=len(_FILES))
def _file(name: str) -> bytes:
    """A file of Swagger UI, read when first asked for and kept: 1.5 MB in all."""
    content: bytes = (swagger_ui_path / name).read_bytes()
    return content


def docs_routes(title: str) -> list[APIRoute]:
    """The page, its start script and Swagger UI's files."""

    async def page(_: Request) -> Response:
        return _answer(_PAGE.format(title=title).encode(), "text/html; charset=utf-8")

    async def start(_: Request) -> Response:
        return _answer(_START.encode(), "text/javascript; charset=utf-8")

    async def file(request: Request) -> Response:
        name = request.scope["path"].rsplit("/", 1)[-1]
        return _answer(_file(name), _FILES[name])

    answers = {_PAGE_PATH: page, _START_PATH: start}
    return [APIRoute(path, answers.get(path, file), include_in_schema=False) for path in DOCS_PATHS]


def _answer(body: bytes, media_type: str) -> Response:
    headers = {"content-type": media_type, "content-security-policy": _POLICY, "x-content-type-options": "nosniff"}
    return Response(body, headers=headers)
