"""
Make an exam and candidates on a running stack and print a launch link for each, one token a line.

`python -m loadtests.client.links --candidates 50` uses the local stack; with `--url` and the rest, any
deployment.
"""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiohttp

from deploy.local.passwords import ask_password, password_of
from deploy.local.server import ServerError
from kernel.events import Role
from kernel.running.process import prepare_process
from loadtests.client.stack import (
    Account,
    Stack,
    StackError,
    launch_links,
    local_stack,
    make_candidates,
    open_exam,
    organisation_of,
    sign_in,
)

STATE: Final = Path(".veritas")


async def fresh_links(stack: Stack, candidates: int) -> list[str]:
    """Open a new exam for new candidates; return their launch tokens."""
    async with aiohttp.ClientSession() as http:
        token = await sign_in(http, stack.url, stack.account(Role.teacher))
        exam_id = await open_exam(http, stack.url, token, f"Load test, {datetime.now(UTC):%Y-%m-%d %H:%M:%S}")
        run = uuid4().hex[:8]
        emails = [f"load-{run}-{number}@load.example" for number in range(candidates)]
        await make_candidates(stack.database_url, await organisation_of(http, stack.url, token), emails)
        links = await launch_links(http, stack.url, token, exam_id, emails)
        return [links[email] for email in emails]


def _named_stack(asked: argparse.Namespace) -> Stack:
    """Return the deployment that was named, and its teacher; raises StackError and ServerError."""
    if not (asked.database_url and asked.email):
        raise StackError("beside its URL, a deployment needs its --database-url and a teacher's --email")
    password = password_of(asked.password, asked.password_file) or ask_password()
    return Stack(
        url=asked.url,
        ingest_url=asked.url,
        database_url=asked.database_url,
        accounts=[Account(asked.email, password, Role.teacher)],
    )


def main() -> int:
    """Print the links asked for on the command line; return 2 where that cannot be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=50, help="how many")
    parser.add_argument("--state", type=Path, default=STATE, help="folder of the local stack")
    parser.add_argument("--url", help="another deployment")
    parser.add_argument("--database-url", help="its database, to make candidates")
    parser.add_argument("--email", help="a teacher there")
    parser.add_argument(
        "--password", help="their password, for everybody on this machine to see; asked for if not given"
    )
    parser.add_argument("--password-file", type=Path, help="file whose only line is their password")
    asked = parser.parse_args()
    try:
        stack = local_stack(asked.state) if asked.url is None else _named_stack(asked)
        print("\n".join(asyncio.run(fresh_links(stack, asked.candidates))))
    except (StackError, ServerError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
