"""Whether a service says that it is well; `python -m whence.kit.probe URL` asks that for a container's health check."""

import http.client
import sys
from urllib.parse import urlsplit

PROBE_SECONDS = 2.0
"""A probe of a service on this machine that takes longer counts as failed."""


def probe(url: str) -> bool:
    """Whether a GET of the URL is answered with 200. Proxies of the environment are not used."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if probe(sys.argv[1]) else 1)
