"""A PostgreSQL server of the tests' own: a private cluster in a temporary folder, on a socket that only it knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.support.services import require

VARIABLE = "LEADSCORE_TEST_DATABASE"
SETTINGS = "listen_addresses = ''\nfsync = off\nmax_connections = 20\nshared_buffers = 32MB\n"


@dataclass(frozen=True)
class Server:
    """A running server and how to reach it."""

    programs: Path
    folder: Path
    user: str | None

    @property
    def conninfo(self) -> str:
        return f"host={self.folder} user=leadscore dbname=postgres"

    def control(self, *words: str) -> None:
        """Run pg_ctl as the user who owns the cluster, and wait until it is done."""
        log = ("-l", str(self.folder / "log")) if words[0] in ("start", "restart") else ()
        self.run("pg_ctl", "-D", str(self.folder / "cluster"), "-w", *log, *words)

    def run(self, program: str, *words: str) -> None:
        done = [str(self.programs / program), *words]
        subprocess.run(done, check=True, user=self.user, group=self.user, cwd=self.folder, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.conninfo, autocommit=True)


@contextmanager
def running() -> Iterator[Server]:
    """A server of its own, gone at the end; skips with the reason where none is installed."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    require(bool(binaries) and (binaries[-1] / "initdb").is_file(), "no PostgreSQL server is installed")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if user:
        shutil.chown(folder, user, user)
    server = Server(binaries[-1], folder, user)
    try:
        server.run("initdb", "-D", str(folder / "cluster"), "-U", "leadscore", "-A", "trust", "-E", "UTF8",
                   "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        with (folder / "cluster" / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS + f"unix_socket_directories = '{folder}'\n")
        server.control("start")
        yield server
    finally:
        if (folder / "cluster" / "postmaster.pid").exists():
            server.control("stop", "-m", "immediate")
        shutil.rmtree(folder)
