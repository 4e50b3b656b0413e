"""
Parts of a rebuild on Dask's workers, on as many hosts as there are: the same functions as anywhere else.

Dask is an optional install (`requirements-dask.lock`), here and where its workers run. These are started with
the pipeline's own settings, VERITAS_DATABASE_URL above all: no password travels with a part.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

from kernel.settings import Settings, load
from pipeline.recomputing import Part, Runner, compute

MISSING: Final = "Dask is not installed here: it is an optional install (requirements-dask.lock)"
CONNECT_S: Final = 10.0
RETRIES: Final = 2  # of a part, on whichever worker


class DaskError(Exception):
    """There is no Dask, or no scheduler at the address; the message says so."""


@contextmanager
def runner_on(address: str, *, within_s: float = CONNECT_S) -> Iterator[Runner]:
    """
    Yield what runs parts on the workers of a scheduler.

    Args:
        address: the scheduler's, `tcp://host:port`.
        within_s: how long it may take to answer.

    Raises:
        DaskError: Dask is not installed, or nobody answers there.
    """
    if find_spec("distributed") is None:
        raise DaskError(MISSING)
    from distributed import Client, as_completed  # noqa: PLC0415  optional

    try:
        client = Client(address, timeout=within_s, set_as_default=False)  # type: ignore[no-untyped-call]  # Dask's own
    except (OSError, ValueError) as error:
        raise DaskError(f"no Dask scheduler answers at {address}") from error

    def run(_: Settings, parts: Sequence[Part]) -> Iterator[int]:
        futures = client.map(_compute_there, parts, pure=False, retries=RETRIES)
        for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]
            yield future.result()

    with client:
        yield run


def _compute_there(part: Part) -> int:
    """Compute a part by the settings of the worker's own environment; return how many keys it had."""
    return compute(load(), part)
