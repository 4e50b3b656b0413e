"""
What the ingest benchmark reports: exactly these keys, all from one run on one machine.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from rich.console import Console
from rich.table import Table

FOLDER: Final = Path(__file__).parents[3] / "build" / "bench"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    The figures. Rates in events or rows a second, `…_ms` in milliseconds.

    `copy_rows_per_s` server-side COPY; `durable_events_per_s` rows counted in the table over first send to
    last commit; `ack_ms` p50, p95, p99 and `accept_to_queryable_ms` p50, p99 at half of that rate;
    `cpu_us_per_event` by process while at saturation: of these, the median of the rounds. `fdatasync_ms` is
    the median sync of a small append in the servers' folder.
    """

    copy_rows_per_s: float
    durable_events_per_s: float
    ratio_to_copy: float
    seed_design_events_per_s: float
    ratio_to_seed_design: float
    simple_durable_events_per_s: float
    ratio_to_simple_durable: float
    single_events_per_s: float
    ratio_single_to_seed_design: float
    ack_ms: dict[str, float]
    accept_to_queryable_ms: dict[str, float]
    cpu_us_per_event: dict[str, float]
    fdatasync_ms: float
    machine: dict[str, str | int | float]


def write(name: str, content: object) -> Path:
    """Write `build/bench/<name>.json` whole or not at all, and return its path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(
        orjson.dumps(_rounded(msgspec.to_builtins(content)), option=orjson.OPT_INDENT_2) + b"\n"
    )
    unfinished.replace(path)
    return path


def _rounded(value: Any) -> Any:  # noqa: ANN401  what JSON can hold
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    # Three decimals below a hundred, one above: more would be noise.
    return round(value, 3 if abs(value) < 100 else 1) if isinstance(value, float) else value


def show(console: Console, title: str, content: object) -> None:
    """Print the figures as a table, nested ones with dotted names."""
    table = Table(title=title)
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in _flat("", _rounded(msgspec.to_builtins(content))):
        table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    console.print(table)


def show_bars(console: Console, bars: Iterable[tuple[str, float, float, bool]]) -> None:
    """Print each bar as a row: of what, what was found, where the bar lies, whether it is met."""
    table = Table(title="bars")
    for name in ("figure", "found", "bar", ""):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for name, found, bar, passes in bars:
        table.add_row(name, f"{_rounded(found):,}", f"{bar:,}", "passes" if passes else "[red]misses[/]")
    console.print(table)


def show_rows(console: Console, title: str, rows: Mapping[str, object]) -> None:
    """Print structs of one type as a table, one row each, the fields as columns."""
    table = Table(title=title)
    table.add_column(no_wrap=True)
    for field in msgspec.to_builtins(next(iter(rows.values()))):
        table.add_column(field.replace("_", "\n"), justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{value:,.2f}" for value in msgspec.to_builtins(row).values()))
    console.print(table)


def _flat(prefix: str, value: object) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [row for key, each in value.items() for row in _flat(f"{prefix}.{key}" if prefix else key, each)]
