"""
The processes' own database logins on the local stack: a fresh random password each time it starts.
"""

import secrets
from typing import Final
from urllib.parse import urlsplit

import psycopg

from sql import named

ROLES: Final = ("veritas_ingest", "veritas_core", "veritas_pipeline", "veritas_analyst")


def give_passwords(owner_url: str) -> dict[str, str]:
    """
    Give every process's role a new password and return each role's address of the same database.

    Args:
        owner_url: of a superuser, on a database that is migrated.
    """
    compose = named("deploy")["compose_password_change"].encode()
    urls = {}
    with psycopg.connect(owner_url, autocommit=True) as conn, psycopg.RawCursor(conn) as cursor:
        for role in ROLES:
            password = secrets.token_urlsafe(24)
            row = cursor.execute(compose, (role, password)).fetchone()
            assert row is not None, "a select without a table gives one row"
            cursor.execute(row[0].encode())
            urls[role] = as_role(owner_url, role, password)
    return urls


def as_role(url: str, role: str, password: str) -> str:
    """Return the address with another login in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}").geturl()


def on_database(url: str, database: str) -> str:
    """Return the address with another database in it."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()
