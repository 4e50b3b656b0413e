"""Messages of streams and sockets, read as the public document has them."""

from typing import Any

import msgspec


def read(kind: Any, message: Any) -> Any:
    """Return a message; one that has less than its type says, or more, or otherwise, fails the test."""
    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(message, kind, strict=False))) == message
    return message
