"""
A deployment, and an admin who is signed in there: how `veritas import` asks it, over HTTP.
"""

import gzip
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import typer

from deploy.local.passwords import ask_password
from deploy.local.server import ServerError

TRIES: Final = 6
LEVEL: Final = 1  # of gzip: what takes longer to pack than to send is packed lightly
TIMEOUT_S: Final = 900
UNNAMED: Final = "no column"  # how the fault of a header without a field begins
FAULTY: Final = 1  # exit code: rows are faulty


class Session:
    """A deployment, and somebody who is signed in there."""

    def __init__(self, url: str, names: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._names = names
        self._token = ""

    def sign_in(self, email: str, password: str) -> None:
        """Sign in; raises ServerError."""
        self._token = self("/api/auth/login", {"email": email, "password": password})["access_token"]

    def __call__(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the reply to a post; what is refused for the moment is sent again when it may.

        Raises:
            ServerError: any other refusal, with what it says.
            typer.Exit: rows are faulty; each was printed.
        """
        text = msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        if self._token:
            text, headers["Content-Encoding"] = gzip.compress(text, LEVEL), "gzip"
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url + path, data=text, headers=headers, method="POST")  # noqa: S310
        for tries_left in reversed(range(TRIES)):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310  checked below
                    answer: dict[str, Any] = json.loads(reply.read())
                    return answer
            except urllib.error.HTTPError as error:
                with error:
                    problem = _problem(error)
                wait_s = error.headers.get("Retry-After", "")
                if not (tries_left and wait_s.isdigit() and problem.get("code") != "outcome_unknown"):
                    raise self._refused(problem, error.code) from error
                time.sleep(min(int(wait_s), 60))
            except (OSError, ValueError) as error:
                raise ServerError(f"{self._url} does not answer: {error}") from error
        raise AssertionError("the last try answers or raises")

    def _refused(self, problem: Mapping[str, Any], status: int) -> Exception:
        if status == 422 and problem.get("errors"):
            show_faults({"faults": problem["errors"]}, self._names)
            if any(each["message"].startswith(UNNAMED) for each in problem["errors"]):
                print("as in --map 'E-Mail-Adresse=email'", file=sys.stderr)
            return typer.Exit(FAULTY)
        return ServerError(f"{self._url}: {status} {problem.get('detail', '')}")


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found = json.loads(error.read())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def signed_in(
    url: str | None, email: str | None, password: str | None, state: Path | None, names: Mapping[str, str]
) -> Session:
    """Return the deployment as its admin; raises ServerError."""
    from kernel.events import Role  # noqa: PLC0415
    from kernel.settings import load  # noqa: PLC0415
    from loadtests.client.stack import StackError, local_stack  # noqa: PLC0415

    if url is None:
        try:
            stack = local_stack(state or Path(load().state))
            account = stack.account(Role.admin)
        except StackError as error:
            raise ServerError(str(error)) from error
        url, email, password = stack.url, email or account.email, password or account.password
    if not url.startswith(("http://", "https://")):
        raise ServerError(f"{url} is no address: http:// or https:// stands before it")
    if email is None:
        raise ServerError("beside --url, name an admin with --email")
    session = Session(url, names)
    session.sign_in(email, password or ask_password())
    return session


def show_faults(reply: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Print what is wrong with rows, each with its file and line."""
    for fault in reply["faults"]:
        path: str = fault["path"]
        file, _, rest = path.partition(" ")
        print(f"{names.get(file, file)} {rest}".strip() + f": {fault['message']}", file=sys.stderr)
    more = reply.get("faulty", 0) - len(reply["faults"])
    if more > 0:
        print(f"and {more:,} more", file=sys.stderr)
