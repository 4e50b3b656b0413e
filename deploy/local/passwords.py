"""
The password that a command needs: on its line, where everybody on the machine sees it, in a file, or typed.
"""

import sys
from pathlib import Path

import typer

from deploy.local.server import ServerError


def password_of(password: str | None, file: Path | None) -> str | None:
    """Return the password that was given, or stands in the file, if either is there; raises ServerError."""
    if file is None:
        return password
    if password is not None:
        raise ServerError("give the password or its file, not both")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ServerError(f"the password's file {file} cannot be read: {why}") from error
    if len(lines) != 1 or not lines[0]:
        raise ServerError(f"the password's file {file} must hold one line, the password")
    return lines[0]


def ask_password() -> str:
    """Return a password that somebody types; raises ServerError where nobody does."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise ServerError("there is no terminal to ask for the password at: name a --password-file")
    try:
        return str(typer.prompt("password", hide_input=True))
    except typer.Abort as error:
        raise ServerError("no password was given: nothing was done") from error
