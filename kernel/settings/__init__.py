"""
Settings: one frozen struct, built once from the environment at start-up and passed down.

Every name is `VERITAS_` plus the field in capitals; an unknown `VERITAS_*` name stops the process, so that a
typo cannot silently leave a bound at its default. A setting stands in the module of what it is about, each a
struct that adds to the one before. Descriptions are part of the types: `python -m kernel.settings` prints
them all, and a test refuses a field without one.
"""

import os
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from kernel.settings.exports import Exports

PREFIX = "VERITAS_"


class SettingsError(Exception):
    """The environment does not make valid settings; the message names the variable."""


class Settings(Exports, frozen=True, kw_only=True):
    """Everything that can be set, with its unit last in the name."""


def load(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """
    Build the settings from the environment.

    Args:
        environ: defaults to the process's own.
        overrides: fields that win over the environment (tests, command-line options).

    Raises:
        SettingsError: an unknown `VERITAS_*` name, or a value outside its bounds.
    """
    source = os.environ if environ is None else environ
    raw: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value for name, value in source.items() if name.startswith(PREFIX)
    }
    unknown = sorted(set(raw) - set(Settings.__struct_fields__))
    if unknown:
        message = f"unknown setting {', '.join(PREFIX + name.upper() for name in unknown)}"
        raise SettingsError(message)
    try:
        return msgspec.convert(raw | overrides, Settings, strict=False)
    except msgspec.ValidationError as error:
        message = f"{PREFIX}*: {error}"
        raise SettingsError(message) from error


def described() -> list[tuple[str, str, str]]:
    """Return (variable, default, description) of every setting, those of every process first."""
    hints = get_type_hints(Settings, include_extras=True)
    rows = []
    for name, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        metas = [meta for meta in get_args(hints[name]) if isinstance(meta, Meta)]
        rows.append((PREFIX + name.upper(), str(default), metas[0].description or "" if metas else ""))
    return rows
