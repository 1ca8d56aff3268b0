"""The application's users on a real PostgreSQL: set up by database.sql, then rotated as AWS's function does it."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import synth
from slipway.proc import run

BIN = Path("/usr/lib/postgresql/15/bin")
FIRST, SECOND = "first-password", "second-password"


class Server:
    """A throw-away PostgreSQL on loopback that asks for passwords, with a master user who is no superuser, as in RDS."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="slipway-aws-postgres-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self.home / "password").write_text("superuser")
        if os.geteuid() == 0:
            for path in (self.home, self.home / "password"):
                shutil.chown(path, "postgres", "postgres")
        self._run(
            "initdb", "-D", "data", "-U", "postgres", "-A", "scram-sha-256", "--pwfile=password", "--no-sync"
        )
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-o", options, "-w", "start")
        with self.connect("postgres", "superuser", "postgres") as superuser:
            superuser.execute("CREATE ROLE board_admin LOGIN CREATEROLE CREATEDB PASSWORD 'master'")
            superuser.execute("CREATE DATABASE board OWNER board_admin")

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        run([*as_user, BIN / program, *arguments], cwd=self.home, timeout=60)

    def connect(self, user: str, password: str, database: str = "board") -> psycopg.Connection:
        where = {"host": "127.0.0.1", "port": self.port, "dbname": database, "autocommit": True}
        return psycopg.connect(user=user, password=password, **where)

    def script(self) -> None:
        """database.sql, by psql, with the password in the environment."""
        environment = {"PGPASSWORD": "master", "BOARD_PASSWORD": FIRST}
        argv = [BIN / "psql", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "board_admin", "board"]
        run([*argv, "-f", synth.HERE / "database.sql"], env=environment, timeout=60)

    def remove(self) -> None:
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.home)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    one = Server()
    one.script()
    yield one
    one.remove()


def rotate(server: Server, user: str, password: str) -> None:
    """What the function does to a user that exists already, as the master user."""
    with server.connect("board_admin", "master") as master:
        assert master.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchall()
        master.execute(f"ALTER USER {user} WITH PASSWORD '{password}'")


def test_the_clone_cannot_log_in_before_the_first_rotation(server: Server) -> None:
    """It has no password."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.connect("board_clone", "guessed")


def test_what_either_user_makes_the_other_can_change(server: Server) -> None:
    """Migrations go on after a rotation: tables belong to neither user, but to their common role."""
    with server.connect("board", FIRST) as board:
        board.execute("CREATE TABLE facts (id integer)")
    rotate(server, "board_clone", SECOND)
    with server.connect("board_clone", SECOND) as clone:
        clone.execute("ALTER TABLE facts ADD COLUMN at timestamptz")
        clone.execute("CREATE TABLE later (id integer)")
    with server.connect("board", FIRST) as board:
        board.execute("DROP TABLE later")
        owners = board.execute("SELECT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert owners == [("board_owner",)]


def test_a_rotation_leaves_the_other_users_password(server: Server) -> None:
    """A Pod that started before goes on connecting."""
    rotate(server, "board_clone", "third-password")
    with server.connect("board", FIRST) as board:
        assert board.execute("SELECT session_user").fetchone() == ("board",)


def test_the_application_is_no_administrator(server: Server) -> None:
    """It makes no roles and no databases, and nobody else gets into its own."""
    with server.connect("board", FIRST) as board:
        for statement in (
            "CREATE ROLE other",
            "CREATE DATABASE other",
            "ALTER ROLE board_admin PASSWORD 'x'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                board.execute(statement)
    with server.connect("board_admin", "master", "postgres") as master:
        master.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        server.connect("stranger", "stranger")
