"""
The machine as the figures need it: CPU and memory per process from /proc, the disk's sync time, what it is.
Linux.
"""

import os
import platform
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_SYNCS: Final = 200
_SYNC_BYTES: Final = 512


def cpu_seconds(pid: int) -> float:
    """Return user and system CPU seconds of a process and of its children that have ended."""
    # The name in parentheses may hold blanks: fields are counted after it (proc(5): utime is the 14th).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_S


def memory_bytes(pid: int) -> tuple[int, int] | None:
    """Return resident memory and the private part of it; None when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return None
    sizes = {
        line.partition(":")[0]: line.split()[1] for line in lines if line.startswith("Rss") or "VmRSS" in line
    }
    return int(sizes["VmRSS"]) * 1024, int(sizes["RssAnon"]) * 1024


def children(pid: int) -> list[int]:
    """Return the process's living children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def postgres_processes(postmaster: int) -> dict[int, str]:
    """Return PostgreSQL's processes: `postgres_backends` serve clients, `postgres_helpers` are the rest."""
    found = {postmaster: "postgres_helpers"}
    for child in children(postmaster):
        title = _title(child)
        # A backend's title names user, database and client: `postgres: veritas_ingest veritas [local] COPY`.
        found[child] = (
            "postgres_backends" if "[local]" in title or "127.0.0.1(" in title else "postgres_helpers"
        )
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:  # it has ended since it was listed
        return ""


class CpuMeter:
    """CPU seconds per group of processes since it was made; a process that ends keeps what was last read."""

    def __init__(self, groups: Mapping[int, str]) -> None:
        """Start at zero for these processes; `groups` is group by process id."""
        self._groups = dict(groups)
        self._before = {pid: _cpu_or(pid, 0.0) for pid in groups}
        self._latest = dict(self._before)

    def read(self, newcomers: Mapping[int, str] | None = None) -> dict[str, float]:
        """Return CPU seconds per group so far; newcomers began after the meter did and count from zero."""
        for pid, group in (newcomers or {}).items():
            self._groups.setdefault(pid, group)
            self._before.setdefault(pid, 0.0)
        totals = dict.fromkeys(self._groups.values(), 0.0)
        for pid, group in self._groups.items():
            self._latest[pid] = _cpu_or(pid, self._latest.get(pid, 0.0))
            totals[group] += self._latest[pid] - self._before[pid]
        return totals


class Used(msgspec.Struct, frozen=True):
    """
    CPU seconds by group of processes, and those of this one, over so many seconds; `cores_s` are what all
    cores had to give meanwhile, `busy_share` what was used of it, by whomever.
    """

    by_group: dict[str, float]
    own_s: float
    seconds: float
    cores_s: float
    busy_share: float


class Share:
    """What groups of processes, and this one, use of the machine from now on."""

    def __init__(self, groups: Mapping[int, str]) -> None:
        """Start at zero; `groups` is group by process id."""
        self._meter = CpuMeter(groups)
        self._began, self._own_s, self._idle_s = time.monotonic(), time.process_time(), _idle_seconds()

    def read(self, newcomers: Mapping[int, str]) -> Used:
        """Return what was used so far; newcomers count from zero."""
        seconds = time.monotonic() - self._began
        cores_s = seconds * (os.cpu_count() or 1)
        return Used(
            by_group=self._meter.read(newcomers),
            own_s=time.process_time() - self._own_s,
            seconds=seconds,
            cores_s=cores_s,
            busy_share=1 - (_idle_seconds() - self._idle_s) / cores_s,
        )


def _idle_seconds() -> float:
    """Return the seconds that all cores together were idle, or waited for the disk, since boot (proc(5))."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    return (int(fields[4]) + int(fields[5])) / _TICKS_PER_S


def _cpu_or(pid: int, otherwise: float) -> float:
    try:
        return cpu_seconds(pid)
    except (FileNotFoundError, ProcessLookupError):
        return otherwise


def fdatasync_ms(folder: Path) -> float:
    """Return the median of 200 syncs, each after an append of 512 bytes to a file in the folder, in ms."""
    path = folder / "fdatasync.probe"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        return statistics.median(_sync_once(file) for _ in range(_SYNCS)) * 1000
    finally:
        os.close(file)
        path.unlink()


def _sync_once(file: int) -> float:
    os.write(file, b"x" * _SYNC_BYTES)
    started = time.perf_counter()
    os.fdatasync(file)
    return time.perf_counter() - started


def description() -> dict[str, str | int | float]:
    """Return what this machine is: CPU model, cores, memory in GiB, kernel, Python."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "unknown"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
