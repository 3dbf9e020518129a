"""A connection to PostgreSQL, and what its faults mean for a user."""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from features.schema.errors import ParamsError
from pipelines.config.secrets import from_environment

if TYPE_CHECKING:
    from psycopg import Connection, Error


ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 6}  # a lost server is noticed in 90 s
CONNECT_S = 30  # unless the connection string, or PGCONNECT_TIMEOUT, says otherwise
SIGNS = {  # in messages of libpq and the server, and what may be shown instead: no part of the connection string
    "password authentication failed": "a wrong user or password",
    "no password supplied": "no password",
    "resolve host": "an unknown host",
    "refused": "no server there",
    "no such file": "no server there",
    "timeout": "no answer in time",
    "pg_hba.conf": "a server that does not let this user in from here",
    "does not exist": "no such user or database",
    "starting up": "a server that is starting",
    "shutting down": "a server that is stopping",
    "administrator command": "a server that was stopped",
    "closed the connection": "a server that was stopped",
}


def connect(variable: str, key: str) -> Connection[Any]:
    """Open a connection.

    Parameters
    ----------
    variable
        Name of the environment variable that holds libpq's connection string; "" leaves all to libpq's own variables
        and files (PGHOST, PGSERVICE, ~/.pgpass).
    key
        The key of params.yaml that gives the name.

    Raises
    ------
    ParamsError
        Where there is no such variable, its text is malformed, or psycopg is not installed.
    psycopg.OperationalError
        Where the server does not answer; `why` describes it without secrets.
    """
    psycopg = driver(key)
    try:
        secret = from_environment(variable, key) if variable else ""
        own = psycopg.conninfo.conninfo_to_dict(secret).get("connect_timeout") or os.environ.get("PGCONNECT_TIMEOUT")
        settings = ALIVE if own else ALIVE | {"connect_timeout": CONNECT_S}
        connection: Connection[Any] = psycopg.connect(secret, client_encoding="UTF8", **settings)
        return connection
    except psycopg.ProgrammingError:  # its message would repeat the connection string
        raise ParamsError(f"{key}: {variable} is not a connection string; write postgresql://user@host/name") from None


def driver(key: str) -> ModuleType:
    """Return psycopg, imported only where a database is used; raises ParamsError where it is not installed."""
    try:
        import psycopg
    except ImportError:
        raise ParamsError(f"{key}: PostgreSQL needs the package psycopg; install the extra `postgres`") from None
    return psycopg


def why(error: Error) -> str:
    """Describe an error without the connection string and without data."""
    if error.sqlstate and error.sqlstate[:2] not in ("08", "22", "23", "28"):
        return str(error.diag.message_primary or f"fault {error.sqlstate}")
    reasons = [words for sign, words in SIGNS.items() if sign in str(error).lower()]
    return reasons[0] if reasons else f"fault {error.sqlstate or type(error).__name__}"
