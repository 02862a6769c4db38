"""PostgreSQL connections: one way to open them, one seam that turns the driver's errors into our families."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from whence.domain.errors import BrokenInvariant, DependencyUnavailable, OutcomeUnknown

CONNECT_TIMEOUT_SECONDS = 5
"""A server that does not answer in this time counts as down."""

STATEMENT_TIMEOUT_MS = 30_000
"""No statement of a service runs longer; migrations set their own."""

TCP_USER_TIMEOUT_MS = 10_000
"""A peer that acknowledges nothing for this long is dead, even with a query under way."""

_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    # The driver counts these as bugs of ours: a session that slept too long, and a server that only reads for now.
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
)


def conninfo(url: str, namespace: str, application: str, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> str:
    """The connection string for *url* with the installation's schema as search path, UTC, and our limits."""
    options = f"-c search_path={namespace} -c timezone=UTC -c statement_timeout={statement_timeout_ms}"
    return make_conninfo(
        url,
        options=options,
        application_name=f"whence {application}",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        tcp_user_timeout=TCP_USER_TIMEOUT_MS,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=2,
    )


def connect(url: str, namespace: str, application: str, *, autocommit: bool = True) -> psycopg.Connection:
    """A synchronous connection.

    Raises:
        DependencyUnavailable: If the server cannot be reached.
    """
    with database_errors():
        return psycopg.connect(conninfo(url, namespace, application), autocommit=autocommit)


@contextmanager
def database_errors(*, committing: bool = False) -> Iterator[None]:
    """Turn the driver's errors into our families.

    Args:
        committing: Whether a commit may be under way, so that a lost connection leaves its outcome unknown.
    """
    try:
        yield
    except _UNAVAILABLE as error:
        family = OutcomeUnknown if committing else DependencyUnavailable
        raise family("postgresql", f"PostgreSQL does not serve us: {str(error).strip()}") from error
    except psycopg.Error as error:
        raise BrokenInvariant(f"PostgreSQL refused a statement of ours: {str(error).strip()}") from error


def schema(namespace: str) -> sql.Identifier:
    """The installation's schema as a quoted name."""
    return sql.Identifier(namespace)
