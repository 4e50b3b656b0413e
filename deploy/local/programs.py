"""
Find the server programs on this machine: PostgreSQL with TimescaleDB, and Redis.

The set-up script runs this file before any package is installed, so it imports the standard library only.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

POSTGRES_MAJOR_MIN = 15
REDIS_MAJOR_MIN = 7
EXTENSION = "timescaledb"


@dataclass(frozen=True)
class PostgresPrograms:
    """One installed PostgreSQL: its programs' folder, its major version, TimescaleDB's version or None."""

    bin_folder: Path
    major: int
    timescaledb: str | None


@dataclass(frozen=True)
class RedisProgram:
    """An installed Redis server and its version, as in (7, 0, 15)."""

    path: Path
    version: tuple[int, ...]


def find_postgres() -> PostgresPrograms | None:
    """Return the newest PostgreSQL of at least version 15; one with TimescaleDB before one without."""
    found = [programs for folder in _postgres_folders() if (programs := _inspect_postgres(folder))]
    return max(found, key=lambda each: (each.timescaledb is not None, each.major), default=None)


def find_redis() -> RedisProgram | None:
    """Return the Redis server on PATH when it is version 7 or newer."""
    path = shutil.which("redis-server")
    if path is None:
        return None
    match = re.search(r"v=([\d.]+)", _output([path, "--version"]))
    version = tuple(int(part) for part in match[1].split(".")) if match else (0,)
    return RedisProgram(Path(path), version) if version[0] >= REDIS_MAJOR_MIN else None


def missing_programs() -> list[str]:
    """Name what is not here, of "postgresql", "timescaledb" and "redis"."""
    postgres = find_postgres()
    found = {
        "postgresql": postgres is not None,
        "timescaledb": postgres is not None and postgres.timescaledb is not None,
        "redis": find_redis() is not None,
    }
    return [name for name, is_here in found.items() if not is_here]


def _postgres_folders() -> list[Path]:
    folders = list(Path("/usr/lib/postgresql").glob("*/bin"))
    if pg_config := shutil.which("pg_config"):
        folders.append(Path(_output([pg_config, "--bindir"])))
    return folders


def _inspect_postgres(bin_folder: Path) -> PostgresPrograms | None:
    server = bin_folder / "postgres"
    if not server.exists():
        return None
    match = re.search(r"(\d+)", _output([str(server), "--version"]))
    major = int(match[1]) if match else 0
    return (
        PostgresPrograms(bin_folder, major, _extension(bin_folder, major))
        if major >= POSTGRES_MAJOR_MIN
        else None
    )


def _extension(bin_folder: Path, major: int) -> str | None:
    """Read TimescaleDB's version from its control file, where this PostgreSQL keeps such files."""
    shared = Path(f"/usr/share/postgresql/{major}")  # Debian's place; elsewhere pg_config knows
    if not shared.is_dir() and (bin_folder / "pg_config").exists():
        shared = Path(_output([str(bin_folder / "pg_config"), "--sharedir"]))
    control = shared / "extension" / f"{EXTENSION}.control"
    if not control.exists():
        return None
    match = re.search(r"default_version\s*=\s*'([^']+)'", control.read_text())
    return match[1] if match else None


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    print("\n".join(missing_programs()))
