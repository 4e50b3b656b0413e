"""The store that an address names: a folder, or `s3://bucket/prefix`."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kernel.settings import Settings
from kernel.storage.local import LocalStore
from kernel.storage.s3 import AWAY, ObjectStore
from kernel.storage.stores import Store

HOT, COLD = "hot", "cold"
TIERS: Final = (HOT, COLD)
STORE_FAILS: Final = (OSError, AWAY)  # what any store raises that cannot be reached, read or written


def open_store(address: str, settings: Settings) -> Store:
    """Return the store; raises ValueError for an address of another kind."""
    if "://" not in address:
        return LocalStore(Path(address))
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        message = "a store is a folder or s3://bucket/prefix"
        raise ValueError(message)
    return ObjectStore(parts.netloc, parts.path.strip("/"), settings)


def open_tiers(settings: Settings) -> dict[str, Store]:
    """Return where evidence is kept, by tier; raises ValueError where that is one place, or no address."""
    addresses = (settings.evidence_store, settings.evidence_cold_store)
    if len({_place(each) for each in addresses}) < len(addresses):
        message = "evidence_store and evidence_cold_store are the same place; name two"
        raise ValueError(message)
    return {tier: open_store(address, settings) for tier, address in zip(TIERS, addresses, strict=True)}


def _place(address: str) -> str:
    return address.rstrip("/") if "://" in address else str(Path(address).resolve())


# What a key of `key_of` says: which piece of evidence, and which name in it.
KEPT: Final = re.compile(
    r"evidence/(?P<thousand>\d{1,16})/(?P<evidence_id>\d{1,19})/(?P<name>[0-9a-f-]{1,40})"
)


def key_of(evidence_id: int, name: str = "") -> str:
    """Return under which key an object of a piece of evidence is kept; without a name, below which prefix."""
    return f"evidence/{evidence_id // 1000}/{evidence_id}/{name}"
