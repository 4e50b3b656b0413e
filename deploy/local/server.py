"""
A private server process: started, watched, stopped or killed by whoever opened it.

Servers never run as root: when the caller is root they run as SERVICE_ACCOUNT. They end with the process that
started them, however that one ends, so that nothing is left behind. A folder serves one owner at a time.
"""

import errno
import fcntl
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Final

from deploy.local.logs import Log, tail
from kernel.running.turns import take_precedence

SERVICE_ACCOUNT: Final = (
    "postgres"  # made by Debian's package of PostgreSQL; both servers use it when the caller is root
)
UNREACHABLE_HOME: Final = Path("/var/lib/veritas")
REACHABLE: Final = 0o711  # a folder on the way to a server's: its account must pass, nobody may look around
START_S_MAX: Final = 180.0  # crash recovery and reading an append-only file take their time
STOP_S_MAX: Final = 60.0
POLL_S: Final = 0.02
OUTGOING_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
PORTS_MIN: Final = 1000  # to choose from
CHOSEN_MAX: Final = 100
_chosen: Final = deque[int]()  # sockets that hold them


class ServerError(Exception):
    """A server cannot be started or stopped; the message says why and where its log is."""


class Server:
    """
    One server with its folder, port and password; `start_postgres` and `start_redis` make them.

    Attributes:
        name: "postgres" or "redis".
        home: folder that holds its data, log, port and password.
        port: TCP port on 127.0.0.1, the same at every start.
        url: address with the password in it.
    """

    def __init__(
        self,
        name: str,
        home: Path,
        *,
        port: int,
        url: str,
        command: list[str],
        stop_signal: signal.Signals,
        answers: Callable[[str], bool],
        precedence: bool = False,
    ) -> None:
        self.name = name
        self.home = home
        self.port = port
        self.url = url
        self._command = command
        self._stop_signal = stop_signal
        self._answers = answers
        self._precedence = precedence
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = _lock(home)
        self._end_leftover()

    @property
    def log(self) -> Path:
        """The file that the server's own messages go to."""
        return self.home / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """
        Process id of the running server; for PostgreSQL the postmaster's.

        Raises:
            ServerError: it does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self.name} in {self.home} does not run")
        return self._process.pid

    def is_running(self) -> bool:
        """True while the process lives; it may still be starting or recovering."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """
        Start on the same data and port, and return when the server answers; a running one is left alone.

        Call it from a thread that lives on: the server ends with the thread that started it.

        Raises:
            ServerError: it ended at once, or does not answer within START_S_MAX seconds.
        """
        self.launch()
        self.wait()
        if not self.is_running():
            raise ServerError(f"{self.name} ended while starting; {self.log} ends:\n{tail(self.log)}")

    def wait(self) -> None:
        """
        Wait until the server answers, or has ended.

        Raises:
            ServerError: neither within START_S_MAX seconds.
        """
        deadline = time.monotonic() + START_S_MAX
        while self.is_running() and not self.answers():
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} does not answer after {START_S_MAX:.0f} s; see {self.log}")
            time.sleep(POLL_S)

    def answers(self) -> bool:
        """True when the server takes requests now."""
        return self._answers(self.url)

    def launch(self) -> None:
        """Start the process without waiting until it answers; nothing happens when it runs already."""
        if self.is_running():
            return
        with closing(Log(self.log)) as log:
            log.write(b"")  # the server itself never begins a new file
            if log.stream is None:
                raise OSError(errno.EIO, "its log cannot be rotated", str(self.log))
            self._process = subprocess.Popen(
                [*as_service_account(), *with_parent(self._stop_signal), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log.stream,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                start_new_session=True,  # Ctrl-C reaches the one who stops servers in order, not the servers
            )
        if self._precedence:
            take_precedence(self._process.pid)
        (self.home / "pid").write_text(str(self._process.pid))

    def stop(self) -> None:
        """
        End the server in good order and wait for it; nothing happens when it does not run.

        Raises:
            ServerError: it had to be killed after STOP_S_MAX seconds.
        """
        if self._process is None:
            return
        if self.is_running():
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise ServerError(f"{self.name} did not stop within {STOP_S_MAX:.0f} s and was killed") from late
        self._forget()

    def kill(self) -> None:
        """End the server and its children with SIGKILL, as a crash would, and wait until they are gone."""
        if self._process is None:
            return
        _kill_tree(self._process.pid)
        self._process.wait()
        self._forget()

    def close(self) -> None:
        """Stop the server and let somebody else open the folder."""
        self.stop()
        os.close(self._lock)

    def _forget(self) -> None:
        self._process = None
        (self.home / "pid").unlink(missing_ok=True)

    def _end_leftover(self) -> None:
        """Stop the server that an owner left behind here; the folder's lock tells that the owner is gone."""
        note = self.home / "pid"
        if not note.exists():
            return
        pid = int(note.read_text() or 0)
        if pid and _works_in(pid, self.home):
            os.kill(pid, self._stop_signal)
            deadline = time.monotonic() + STOP_S_MAX
            while _works_in(pid, self.home) and time.monotonic() < deadline:
                time.sleep(POLL_S)
            if _works_in(pid, self.home):
                _kill_tree(pid)
        note.unlink()


def home_for(folder: Path) -> Path:
    """
    Make and return the folder of a server: `folder`, where the server's account can reach that.

    A checkout below /root, say, is out of its reach; the data then lies below UNREACHABLE_HOME, in a folder
    named for `folder`.
    """
    home = place_for(folder)
    for above in reversed(home.parents):
        if not above.exists():
            above.mkdir()
            above.chmod(REACHABLE)
    home.mkdir(mode=0o700, exist_ok=True)
    give_to_account(home)
    return home


def place_for(folder: Path) -> Path:
    """Return where `home_for` puts the data, and make nothing."""
    folder = folder.resolve()
    above = next(parent for parent in folder.parents if parent.is_dir())
    if subprocess.run([*as_service_account(), "test", "-x", str(above)], check=False).returncode == 0:
        return folder
    return UNREACHABLE_HOME / sha256(os.fsencode(folder)).hexdigest()[:12]


def as_service_account() -> list[str]:
    """Return the words that put a command under SERVICE_ACCOUNT when the caller is root, none otherwise."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={SERVICE_ACCOUNT}", f"--regid={SERVICE_ACCOUNT}", "--init-groups", "--"]


def remembered(folder: Path, port: int | None) -> tuple[Path, str, int]:
    """Return a server's home (see `home_for`), its password and its port, as they were the last time."""
    home = home_for(folder)
    return home, _remembered_password(home), _remembered_port(home, port)


def _remembered_port(home: Path, port: int | None) -> int:
    """Return `port`, else the one remembered in `home` while it is free, else a free one; and remember it."""
    note = home / "port"
    if port is None and note.exists():
        remembered = int(note.read_text())
        port = remembered if is_free(remembered) else None
    chosen = port or free_port()
    note.write_text(str(chosen))
    return chosen


def _remembered_password(home: Path) -> str:
    """Return the server's password, made at the first call and kept in `home`."""
    note = home / "password"
    if not note.exists():
        note.touch(mode=0o600)
        note.write_text(secrets.token_urlsafe(24))
        give_to_account(note)
    return note.read_text()


def give_to_account(path: Path) -> None:
    """Give a file or folder to the server's account when the caller is root."""
    if os.geteuid() == 0:
        owner = pwd.getpwnam(SERVICE_ACCOUNT)
        os.chown(path, owner.pw_uid, owner.pw_gid)


def is_free(port: int, *hosts: str) -> bool:
    """
    True when nobody listens on the port of any of the hosts, 127.0.0.1 if none is given; raises ServerError
    for one that is no address of this machine.
    """
    return all(_binds(host, port) for host in hosts or ("127.0.0.1",))


def _binds(host: str, port: int) -> bool:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as a server would
                probe.bind(address)
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            return False
        raise ServerError(f"{host} is no address to listen on here: {error.strerror}") from error
    return True


def machine_memory_bytes() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_port(*hosts: str) -> int:
    """
    Return a port that nobody listens on, of 127.0.0.1 and of all the hosts, and that nobody else is given.

    It lies below those that the kernel gives to outgoing connections, where it has room for that: one of
    these would be anybody's again until whoever asked for it listens. Until then, and while this process
    chooses no more than CHOSEN_MAX others, a socket that never listens holds it: two servers of ours may
    listen on one port (they are replaced without a pause), and each would get half of the other's requests.
    """
    first, last = 20_000, _outgoing_from() - 1
    while True:
        port = 0 if last - first < PORTS_MIN else first + secrets.randbelow(last - first + 1)
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            holder.close()
            continue
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # for whoever listens; choosing is for one
            holder.setsockopt(socket.SOL_SOCKET, option, 1)
        chosen: int = holder.getsockname()[1]
        if is_free(chosen, *hosts):
            _chosen.append(holder.detach())
            if len(_chosen) > CHOSEN_MAX:
                os.close(_chosen.popleft())
            return chosen
        holder.close()


def _outgoing_from() -> int:
    """Return the first port of outgoing connections, 0 where the kernel does not say."""
    try:
        return int(OUTGOING_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def with_parent(stop_signal: signal.Signals) -> list[str]:
    """Return the words that have the kernel stop the command when the process that started it dies."""
    return ["setpriv", f"--pdeathsig={stop_signal.name.removeprefix('SIG')}", "--"]


def _lock(home: Path) -> int:
    """Take the folder for this process; a second owner would corrupt the first one's data."""
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as taken:
        os.close(descriptor)
        raise ServerError(f"{home} is in use by another process: is the stack running already?") from taken
    return descriptor


def _kill_tree(pid: int) -> None:
    """Kill a process and its children; the parent first, so that it cannot react to their deaths."""
    children = _children(pid)
    for each in (pid, *children):
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue
    while any(_is_alive(child) for child in children):
        time.sleep(POLL_S)


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = status.read_text().rpartition(") ")[2]
        except OSError:
            continue  # it ended meanwhile
        if int(after_name.split()[1]) == pid:
            found.append(int(status.parent.name))
    return found


def _works_in(pid: int, home: Path) -> bool:
    """True while the process lives with its working directory in `home`, as both servers have it."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(home)
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    """False once the process is gone or waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False
