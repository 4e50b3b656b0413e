"""
PostgreSQL as the HTTP tiers use it (asyncpg): the pool, what "away" means, what became of a transaction.

Whoever borrows a connection catches `AWAY`, and nothing else of the driver's: everything beyond that is a
fault of ours and stays a 500. A transaction says by itself whether it was done: `UnavailableError` when it
was not, `OutcomeUnknownError` when the reply to its COMMIT was lost.
"""

from typing import Any, Final

import asyncpg
import orjson
from asyncpg.transaction import Transaction

from kernel.errors import OutcomeUnknownError, UnavailableError
from kernel.settings import Settings
from kernel.values import too_deep

ACQUIRE_S: Final = 5.0
REPLY_DEPTH_MAX: Final = 200  # of stored JSON within a reply; orjson writes 254 levels in all
RETRY_AFTER_S: Final = 2
STATEMENTS_MAX: Final = 1_000  # that a connection keeps planned: more than any process of ours has
# PostgreSQL is away, full, a standby, or took longer than the role may; the same statement may succeed later.
AWAY: Final = (
    OSError,
    EOFError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was cut in the middle of a message
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
)


class _Outermost(Transaction):
    """A transaction that is not within another one."""

    def __init__(self, connection: "WatchedConnection", *options: Any) -> None:  # noqa: ANN401  the driver's
        super().__init__(connection, *options)
        self._borrowed = connection

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        """
        Commit, or roll back after an error.

        Raises:
            UnavailableError: PostgreSQL went away before it was told to commit; nothing was done.
            OutcomeUnknownError: it went away after that, or after another commit of the same borrower.
        """
        try:
            await super().__aexit__(kind, error, trace)
        except AWAY as lost:
            if error is None or self._borrowed.has_committed:
                raise unknown() from lost
            raise nothing_done() from lost
        if error is None:
            self._borrowed.has_committed = True
        elif isinstance(error, AWAY):
            raise (unknown() if self._borrowed.has_committed else nothing_done()) from error


class WatchedConnection(asyncpg.Connection):
    """A connection that knows whether its borrower has committed something."""

    has_committed = False

    def transaction(self, **options: Any) -> Transaction:  # noqa: ANN401  the driver's
        """Return a transaction, or a savepoint within one."""
        options = {"isolation": None, "readonly": False, "deferrable": False, **options}
        kind = Transaction if self.is_in_transaction() else _Outermost
        return kind(self, options["isolation"], options["readonly"], options["deferrable"])

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the driver's
        """Forget what the borrower has set and done; the pool asks for it when a connection comes back."""
        self.has_committed = False
        await super().reset(timeout=timeout)


def nothing_done() -> UnavailableError:
    """Return the error for what PostgreSQL did not do."""
    return UnavailableError(
        "The database does not answer in time; nothing was done.", retry_after_s=RETRY_AFTER_S
    )


def unknown() -> OutcomeUnknownError:
    """Return the error for what PostgreSQL may have done."""
    return OutcomeUnknownError(
        "The database was lost midway: send the same request again to learn whether it was done.",
        retry_after_s=RETRY_AFTER_S,
    )


async def _setup_connection(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
    for kind, decoder in (("json", str.encode), ("jsonb", _decode_json)):
        await conn.set_type_codec(kind, encoder=_encode_json, decoder=decoder, schema="pg_catalog")


def _decode_json(text: str) -> object:
    """
    Return what stored JSON says; as its text what cannot be read, or could not be written into a reply.

    Nothing that passed the judge of values is such; what an older release let in, or a hand, must not fail
    the page that it stands on.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:  # numbers beyond a double, more than 1,024 levels
        return text
    return text if too_deep(text, REPLY_DEPTH_MAX) else value


def _encode_json(value: object) -> str:
    return orjson.dumps(value).decode()


async def open_pool(settings: Settings, url: str | None = None) -> "asyncpg.Pool[asyncpg.Record]":
    """
    Open a PostgreSQL pool (`database_url` by default).

    `jsonb` comes as Python values. What a statement selects as `json` comes as bytes, which `send_json` puts
    into a reply as they stand: so every reader shows what people have stored, number for number. A connection
    stays open while nobody asks: what it has planned is there when the next crowd comes.
    """
    return await asyncpg.create_pool(
        url or settings.database_url,
        min_size=0,  # a database that is away at start-up is found out by readiness, not by an exit
        max_size=settings.pool_connections_max,
        max_inactive_connection_lifetime=0,
        max_cached_statement_lifetime=0,
        statement_cache_size=STATEMENTS_MAX,
        server_settings={"tcp_keepalives_idle": "60"},  # so that nothing on the way forgets an idle one
        init=_setup_connection,
        connection_class=WatchedConnection,
        command_timeout=15,
    )
