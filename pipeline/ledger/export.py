"""
`veritas ledger export`: the sealed log as a file that anybody can check (spec.md L-2).
"""

from pathlib import Path
from typing import Final

import msgspec

from kernel.ledger.checkpoints import Keys, verifier_keys
from pipeline.ledger.report import open_snapshot, read_size
from pipeline.ledger.verify import Progress
from sql import named
from sql.running import STREAMED_ROWS, stream

QUERIES: Final = named("ledger_audit")
EXPORT_VERSION: Final = 1


def export(url: str, keys: Keys, path: Path, progress: Progress = lambda _done, _total: None) -> int:
    """
    Write the sealed log and its heads as lines of JSON, for `verify_export.py`; return how many events.

    A header comes first; each head follows the event that completes it. No personal values, no salts.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    with open_snapshot(url) as conn, unfinished.open("wb") as file:
        size = read_size(conn)
        heads = stream(conn, QUERIES["stream_heads"])
        head = next(heads, None)
        header = {
            "veritas_ledger": EXPORT_VERSION,
            "origin": keys.origin,
            "keys": verifier_keys(keys),
            "size": size,
        }
        file.write(msgspec.json.encode(header) + b"\n")
        for position, body in stream(conn, QUERIES["stream_bodies"]):
            file.write(msgspec.json.encode({"position": position, "body": body.decode()}) + b"\n")
            while head is not None and head[0] <= position + 1:
                file.write(msgspec.json.encode({"head": head[1]}) + b"\n")
                head = next(heads, None)
            if position % STREAMED_ROWS == 0:
                progress(position, size)
    unfinished.replace(path)
    progress(size, size)
    return size
