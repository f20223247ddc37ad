"""Connections to databases: opened from a path or URI, or the user's own; and how they are named.

Promise: a password is never part of a name, of what is saved, or of a message. A connection that is
opened here is closed here, and only reads. A server that only a saved lineage names is not
connected to: whoever wrote a lineage would otherwise decide where its reader's machine logs in.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from traceprop.errors import SourceError
from traceprop.lazy import needing_extras
from traceprop.sources.inputs import files

_MEMORY = ":memory:"
_POSTGRES = ("postgresql", "postgres")
# What a saved address keeps of a PostgreSQL URI's parameters; the others may hold secrets.
_PUBLIC_PARAMETERS = ("host", "hostaddr", "port", "dbname", "user", "sslmode", "connect_timeout")
_SCHEME = re.compile(r"([A-Za-z][\w+.-]*)://")
_logins: dict[str, str] = {}  # address -> the URI with the password that this process was given
_LOGIN = re.compile(r"\b(host|dbname|user|password)\s*=|^[^/]*:[^/]*@")


@dataclass(frozen=True, slots=True)
class Database:
    """A database by its names.

    Attributes
    ----------
    uri : str
        As the user named it, less user and password.
    name : str
        For people: the file's or database's name alone.
    address : str or None
        What opens it again, less the password: an absolute path or a URI. None for a connection
        that the user opened.
    """

    uri: str
    name: str
    address: str | None = None


def describe(connection: object) -> Database:
    """Name the database of a path, URI or open connection.

    Raises
    ------
    SourceError
        Where it is none of these, or a URI that can't be understood.
    """
    if isinstance(connection, str | os.PathLike):
        text = os.fspath(connection)
        return _describe_uri(text) if isinstance(text, str) else _describe_file(os.fsdecode(text))
    if not callable(getattr(connection, "cursor", None)):
        raise SourceError(
            f"a {type(connection).__name__} is no database connection: give the path of a SQLite "
            "file, a postgresql:// URI, or an open ADBC or DBAPI 2 connection, such as "
            "sqlite3.connect(…) or, of a SQLAlchemy engine, engine.raw_connection()"
        )
    with refusals(connection, "the connection can't be used (is it still open?)"):
        uri = _ask_for_name(connection)
    return Database(uri, uri.rstrip("/").rpartition("/")[2] or uri)


@contextmanager
def opened(database: Database) -> Iterator[Any]:
    """Open a database by its address, for reading only, and close it at the end.

    Raises
    ------
    SourceError
        Where it can't be opened; the message names the database and never a password.
    MissingExtraError
        Where PostgreSQL's driver is not installed.
    """
    assert database.address is not None  # `describe` gave one
    if is_postgres(database.address):
        connection = _connect_postgres(database)
    else:
        connection = _connect_sqlite(database.address, database.uri)
    with closing(connection):
        yield connection


@contextmanager
def refusals(connection: Any, what: str, secret: str | None = None) -> Iterator[None]:
    """Turn an error of a connection's driver into a `SourceError` that begins with `what`."""
    import pyarrow as pa

    own = getattr(connection, "Error", None)  # an extension of DBAPI 2 that most drivers have
    if own is None:
        module = sys.modules.get(type(connection).__module__.partition(".")[0])
        own = getattr(module, "Error", None)
    known = own if isinstance(own, type) and issubclass(own, Exception) else SourceError
    try:
        yield
    except SourceError:
        raise
    except (known, pa.ArrowException, OSError, OverflowError) as error:
        raise SourceError(f"{what}: {message_of(error, secret)}") from None


def message_of(error: BaseException, secret: str | None = None) -> str:
    """Return a database's message as one line, less the query and the secrets that it repeats."""
    text = re.split(r"\n+query:|\n\s*Query was:", str(error))[0]
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    for hidden in _secrets(secret):
        line = line.replace(hidden, "***")
    return line.rstrip(".") or type(error).__name__


def _secrets(login: str | None) -> list[str]:
    """Return every form in which a URI's user, password and parameters may come back."""
    if login is None:
        return []
    user_info, _, rest = login.partition("://")[2].rpartition("@")
    parameters = [part.partition("=") for part in rest.partition("?")[2].split("&")]
    raw = [user_info, user_info.partition(":")[2]]
    raw += [value for name, _, value in parameters if name not in _PUBLIC_PARAMETERS]
    return sorted({form for each in raw if each for form in (each, unquote(each))}, key=len)[::-1]


def _describe_file(path: str) -> Database:
    location = os.path.abspath(path)
    return Database(path, os.path.basename(location), location)


def _describe_uri(text: str) -> Database:
    """Understand a `connection=` that is text. What may hold a password is not repeated."""
    if text == _MEMORY or text.startswith("sqlite:///:memory:"):
        raise SourceError(
            "a database in memory is empty when it is opened anew; give the sqlite3 connection "
            "that made its tables"
        )
    scheme = _SCHEME.match(text)
    if scheme is None:
        if not os.path.exists(text) and _LOGIN.search(text):
            raise SourceError(
                "connection= looks like a login to a server, and no file has that name; give a "
                "postgresql://user@host:port/database URI"
            )
        return _describe_file(text)
    kind = scheme[1].lower()
    if kind == "sqlite":
        path = text[scheme.end() :]
        if not path.startswith("/") or len(path) < 2:
            raise SourceError(
                f"{text!r} names no file: write sqlite:///orders.db, or /// and a path"
            )
        return Database(text, os.path.basename(path), os.path.abspath(unquote(path[1:])))
    if kind in _POSTGRES:
        return _describe_postgres(text, text[scheme.end() :])
    raise SourceError(
        f"{kind}:// can't be opened by Traceprop, which opens sqlite:/// and postgresql://; open "
        "it with its own driver and give the connection"
    )


def _describe_postgres(uri: str, rest: str) -> Database:
    place, _, query = rest.partition("?")
    user_info, _, place = place.rpartition("@")
    host, _, path = place.partition("/")
    if "@" in query or "#" in rest or any(mark in user_info for mark in "@/ "):
        raise SourceError(
            "a user name or password in the postgresql:// URI holds a character (@ / ? # or a "
            "space) that must be written as %40, %2F, %3F, %23 or %20"
        )
    parameters = {name: value for name, value in parse_qsl(query) if name in _PUBLIC_PARAMETERS}
    if "/" in path:
        raise SourceError("the postgresql:// URI names more than one database; check its slashes")
    name = parameters.get("dbname") or unquote(path) or "postgres"
    user = user_info.partition(":")[0]
    login_place = f"{user}@{place}" if user else place
    address = f"postgresql://{login_place}" + (f"?{urlencode(parameters)}" if parameters else "")
    place = host or parameters.get("host", "")
    place = "" if place.startswith("/") else place  # a socket is on this machine
    _logins[address] = uri
    return Database(f"postgresql://{place}/{name}", name, address)


def _connect_sqlite(path: str, uri: str) -> Any:
    import sqlite3
    from urllib.request import pathname2url

    files.stamp_file(path, uri)  # refuses what is missing or no file
    try:
        return sqlite3.connect(f"file:{pathname2url(path)}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise SourceError(f"{uri} can't be opened: {message_of(error)}; check {path}") from None


def _connect_postgres(database: Database) -> Any:
    with needing_extras():
        from adbc_driver_postgresql import dbapi
    login = _logins.get(str(database.address))
    if login is None:
        raise SourceError(
            f"{database.uri} is named by a saved lineage, and this process was not told to connect "
            "to it; call source.connect(…) with its postgresql:// URI or an open connection"
        )
    try:
        connection = dbapi.connect(login)
    except dbapi.Error as error:
        reason = message_of(error, login)
        raise SourceError(
            f"{database.uri} can't be opened: {reason}; check host, user and password"
        ) from None
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    connection.commit()
    return connection


def _ask_for_name(connection: Any) -> str:
    """Return the URI, without user and password, of the database that a connection is to."""
    info = getattr(connection, "info", None)  # psycopg
    if info is not None and hasattr(info, "dbname"):
        host = info.host or ""
        port = "" if info.port == 5432 or not host or host.startswith("/") else f":{info.port}"
        return f"postgresql://{'' if host.startswith('/') else host}{port}/{info.dbname}"
    product = vendor(connection)
    if product == "sqlite":
        with closing(connection.cursor()) as cursor:
            cursor.execute("PRAGMA database_list")
            file = next(row[2] for row in map(_as_tuple, cursor.fetchall()) if row[1] == "main")
        return file or _MEMORY
    if product == "postgresql":
        with closing(connection.cursor()) as cursor:
            cursor.execute("SELECT current_database(), host(inet_server_addr())")
            name, host = cursor.fetchone()
        return f"postgresql://{host or ''}/{name}"
    return f"{product}:"


def is_postgres(address: str) -> bool:
    """Whether an address is a PostgreSQL URI, not a file."""
    return address.startswith("postgresql://")


def vendor(connection: Any) -> str:
    """Name the database product of a connection in lower case, else its driver's module."""
    tell = getattr(connection, "adbc_get_info", None)
    if tell is not None:
        return str(tell().get("vendor_name", "adbc")).lower()
    return "sqlite" if is_sqlite3(connection) else type(connection).__module__.partition(".")[0]


def is_sqlite3(connection: Any) -> bool:
    """Whether a connection is the standard library's."""
    import sqlite3

    return isinstance(connection, sqlite3.Connection)


def _as_tuple(row: Any) -> tuple[Any, ...]:
    """Return a row as a tuple, though the user's connection makes dicts of rows."""
    return tuple(row.values()) if isinstance(row, dict) else tuple(row)
