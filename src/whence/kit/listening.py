"""Where services listen: the rule that keeps an unprotected one off the network, and free ports."""

import errno
import ipaddress
import socket
from collections.abc import Collection, Sequence

from whence.domain.errors import DependencyUnavailable, FieldProblem, InvalidInput

PORTS_TRIED_MAX = 200
"""How far above its usual port a service looks for a free one."""

PORT_MAX = 65_535
ANY_PORT = 0

BACKLOG = 8_192
"""Connections that wait in the kernel until they are taken; it may allow fewer (`net.core.somaxconn`)."""

_NOT_FREE = (errno.EADDRINUSE, errno.EACCES)
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # recognised, not bound


def is_loopback(host: str) -> bool:
    """Whether *host* is reached from this machine alone; of any name but `localhost` we cannot know."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(host: str, keys: Sequence[str], insecure: bool) -> None:
    """Refuse to listen to the world without API keys.

    Args:
        host: The address to listen on.
        keys: The API keys, if any.
        insecure: Whether the operator said that this is meant.

    Raises:
        InvalidInput: If the host is not loopback, there are no keys, and it is not meant.
    """
    if keys or insecure or is_loopback(host):
        return
    problem = (
        f"{host} can be reached from other machines: set WHENCE_API_KEYS, or WHENCE_INSECURE=1 if that is meant "
        "to be open, or listen on 127.0.0.1"
    )
    raise InvalidInput([FieldProblem("WHENCE_HOST", problem)])


def bind(host: str, port: int) -> socket.socket:
    """A listening socket that no other process shares; port 0 takes a free one.

    Raises:
        DependencyUnavailable: If the port is busy.
        InvalidInput: If the address cannot be listened on.
    """
    if not 0 <= port <= PORT_MAX:
        raise InvalidInput([FieldProblem("--port", f"must be 0 to {PORT_MAX}, not {port}", PORT_MAX)])
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _bad_address(host, port, error) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} on {host} is taken by another program; stop that one or choose another --port"
            raise DependencyUnavailable("port", message) from error
        raise _bad_address(host, port, error) from error
    listener.setblocking(False)
    return listener


def _bad_address(host: str, port: int, error: Exception) -> InvalidInput:
    return InvalidInput([FieldProblem("--host", f"cannot listen on {host} port {port}: {error}")])


def free_port(host: str, first: int, taken: Collection[int] = ()) -> int:
    """The first port from *first* on that is free and not *taken*.

    Raises:
        InvalidInput: If the host is not ours to listen on, or everything in reach is taken.
    """
    for port in range(first, min(first + PORTS_TRIED_MAX, PORT_MAX + 1)):
        if port not in taken and is_free(host, port):
            return port
    raise InvalidInput([FieldProblem("port", f"no free port from {first} on; stop what uses them")])


def is_free(host: str, port: int) -> bool:
    """Whether we could listen there now.

    Raises:
        InvalidInput: If *host* is no address of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno in _NOT_FREE:
            return False
        problem = f"cannot listen on {host!r}: {error.strerror or error}; 127.0.0.1 is the usual address"
        raise InvalidInput([FieldProblem("WHENCE_HOST", problem)]) from error
    return True


def local_url(host: str, port: int) -> str:
    """The URL under which this machine reaches a service that listens on *host*."""
    reached = _ANY_ADDRESS.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
