"""The store that an address names: a folder, or `s3://bucket/prefix`."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kernel.settings import Settings
from kernel.storage.local import LocalStore
from kernel.storage.s3 import ObjectStore
from kernel.storage.stores import Store

TIERS: Final = ("hot", "cold")


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
    """Return where evidence is kept, by tier."""
    addresses = (settings.evidence_store, settings.evidence_cold_store)
    return {tier: open_store(address, settings) for tier, address in zip(TIERS, addresses, strict=True)}


def key_of(evidence_id: int, name: str = "") -> str:
    """Return under which key an object of a piece of evidence is kept; without a name, below which prefix."""
    return f"evidence/{evidence_id // 1000}/{evidence_id}/{name}"
