"""
A setting's description, with the bounds that its values keep.
"""

from typing import Any

from msgspec import Meta


def about(text: str, **bounds: Any) -> Meta:  # noqa: ANN401  msgspec checks them
    """Return what stands beside a setting's type: a sentence that says what it is, and msgspec's bounds."""
    return Meta(description=text, **bounds)
