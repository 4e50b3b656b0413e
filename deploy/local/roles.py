"""
The processes' own database logins on the local stack: a fresh random password each time it starts.
"""

import secrets
from typing import Final
from urllib.parse import urlsplit

from sql import named
from sql.running import connect, one, run

DEPLOY: Final = named("deploy")
ROLES: Final = ("veritas_ingest", "veritas_core", "veritas_pipeline", "veritas_analyst")


def give_passwords(owner_url: str) -> dict[str, str]:
    """
    Give every process's role a new password and return each role's address of the same database.

    Args:
        owner_url: of a superuser, on a database that is migrated.
    """
    urls = {}
    with connect(owner_url) as conn:
        for role in ROLES:
            password = secrets.token_urlsafe(24)
            run(conn, one(conn, DEPLOY["compose_password_change"], role, password))
            urls[role] = as_role(owner_url, role, password)
    return urls


def as_role(url: str, role: str, password: str) -> str:
    """Return the address with another login in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}").geturl()


def on_database(url: str, database: str) -> str:
    """Return the address with another database in it."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()
