"""A transaction that is killed at a step of its own: by the database, which ends the connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.kits.core import Api

KILLER = """
CREATE OR REPLACE FUNCTION kill_self() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NULL; END $$
"""


@asynccontextmanager
async def killing(api: Api, step: str, *, at_commit: bool) -> AsyncIterator[None]:
    """
    Let the database kill whoever does a step meanwhile: at once, or when they commit.

    Args:
        api: whose owner says so.
        step: such as "INSERT ON submissions".
        at_commit: whether only the commit is lost.
    """
    kind = "CREATE CONSTRAINT TRIGGER" if at_commit else "CREATE TRIGGER"
    deferred = "DEFERRABLE INITIALLY DEFERRED" if at_commit else ""
    what = step.replace(" ON ", " ON public.")
    await api.owner.execute(KILLER)
    await api.owner.execute(
        f"{kind} killing AFTER {what} {deferred} FOR EACH ROW EXECUTE FUNCTION kill_self()"
    )
    try:
        yield
    finally:
        await api.owner.execute(f"DROP TRIGGER killing ON public.{step.rpartition(' ')[2]}")
