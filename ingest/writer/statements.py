"""The writer's statements by name."""

from typing import LiteralString

from sql import named


def statement(name: str) -> LiteralString:
    """
    Return a writer's statement; psycopg asks for text that no input can reach, and a file of ours is that.
    """
    return named("writer")[name]
