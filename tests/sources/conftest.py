"""A real PostgreSQL server, started for the tests that need one and thrown away after them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

PASSWORD = "s3cret-Of-The-Tests"
_PATIENCE = 60.0  # seconds for the server to start


@dataclass(frozen=True)
class PostgresServer:
    """Where the server listens: a socket in a folder of its own."""

    folder: Path

    @property
    def uri(self) -> str:
        """The URI of its superuser, who needs no password."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    @property
    def uri_with_password(self) -> str:
        """The URI of a user who needs one."""
        return f"postgresql://teller:{PASSWORD}@/postgres?host={self.folder}"

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection:
        return psycopg.connect(self.uri, autocommit=autocommit)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    programs = _find_programs()
    folder = Path(tempfile.mkdtemp(prefix="traceprop-pg-"))
    owner = {}
    if os.getuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        owner = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        server = _start(programs, folder, owner)
        try:
            yield PostgresServer(folder)
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder)


def _find_programs() -> Path:
    """Return the folder of the newest server's programs; skip, in CI fail, where there is none."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: float(path.parts[-3]), default=None)
    on_path = shutil.which("initdb")
    if newest is None and on_path is not None:
        newest = Path(on_path).resolve()
    if newest is None:
        reason = "PostgreSQL's server is not installed: apt-get install postgresql"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return newest.parent


def _start(programs: Path, folder: Path, owner: dict) -> subprocess.Popen:
    """Make a database cluster in the folder, start its server, and wait until it answers."""
    data, log = folder / "data", folder / "log"
    make = [programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C", "-N"]
    made = subprocess.run([*make, "-A", "trust"], capture_output=True, text=True, cwd="/", **owner)
    assert made.returncode == 0, made.stderr
    access = "local all teller scram-sha-256\nlocal all all trust\n"
    (data / "pg_hba.conf").write_text(access)
    with log.open("wb") as output:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, "-F", "-c", "listen_addresses="],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd="/",
            **owner,
        )
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with PostgresServer(folder).connect() as connection:
                connection.execute(f"CREATE ROLE teller LOGIN PASSWORD '{PASSWORD}'")
            return server
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                server.kill()
                server.wait()
                raise AssertionError(log.read_text()) from None
            time.sleep(0.1)
