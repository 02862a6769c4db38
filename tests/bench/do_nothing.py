"""What an HTTP request costs at least: an application that takes a body and answers, on our own server.

`python -m bench.do_nothing PORT`: reads each POST to its end and answers 202 with a body as long as ingest's.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from starlette.types import Receive, Scope, Send

from whence.kit.edge import Edge
from whence.kit.health import Readiness
from whence.kit.http import About, Application, describe_api, make_metrics
from whence.kit.listening import bind
from whence.kit.serving import serve

ANSWER = b'{"event_id":"0199a3c4-7d2e-7b6a-9a53-0f6f1f6a2c11","token":"9f3c2a10.13:1042000"}'


class DoNothing:
    """The least that an ASGI application can do with a POST."""

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Take the body and answer."""
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})

    def abandon(self) -> None:
        """Nothing is ever under way for long."""


@asynccontextmanager
async def _application() -> AsyncIterator[Application]:
    about = About("bench", "Does nothing", "")
    yield Application(cast("Edge", DoNothing()), describe_api(about, []), make_metrics("bench", [], []), Readiness({}))


if __name__ == "__main__":
    serve(_application(), bind("127.0.0.1", int(sys.argv[1])))
