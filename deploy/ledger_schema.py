"""
Whether the database still refuses what the migrations make it refuse: triggers, the functions behind them and
behind the ledger's commitments, and privileges.

What is expected is read from the migrations' own text, so that it cannot fall behind them.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from deploy.ledger_report import Connection, Report
from sql import named
from sql.migrate import available

QUERIES: Final = named("ledger_audit")
_TRIGGER: Final = re.compile(
    r"TRIGGER (?P<name>\w+) (?P<timing>BEFORE|AFTER) (?P<events>[\w, ]+?)"
    r" ON (?P<table>[\w.]+)"
    r"(?P<rest>.*?)EXECUTE FUNCTION (?:\w+\.)?(?P<function>\w+)\(",
    re.DOTALL,
)
_STEPS: Final = re.compile(
    _TRIGGER.pattern
    + r"|TABLE (?P<altered>[\w.]+) ENABLE ALWAYS TRIGGER (?P<always>\w+)"
    + r"|TRIGGER (?:IF EXISTS )?(?P<dropped>\w+) ON (?P<dropped_on>[\w.]+)",
    re.DOTALL,
)
_FUNCTION: Final = re.compile(r"\bFUNCTION (?P<name>\w+)\s*\([^;]*?\bAS \$\$(?P<source>.*?)\$\$", re.DOTALL)
_COMMENT: Final = re.compile(r"^--.*$", re.MULTILINE)
REFUSES: Final = "refuse_change"  # refuses all that its trigger fires on, whoever asks


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What a trigger does: `events` are words such as DELETE, `is_always` holds under replication too."""

    timing: str
    events: frozenset[str]
    per_row: bool
    is_conditional: bool
    function: str
    is_always: bool


def _read(found: "re.Match[str]", *, is_always: bool) -> Trigger:
    events = re.sub(r" OF [\w, ]+", "", found["events"]).split(" OR ")
    return Trigger(
        timing=found["timing"],
        events=frozenset(each.strip() for each in events),
        per_row="FOR EACH ROW" in found["rest"],
        is_conditional="WHEN (" in found["rest"],
        function=found["function"],
        is_always=is_always,
    )


def expected_triggers() -> dict[tuple[str, str], Trigger]:
    """Return the triggers that the migrations leave behind, by table and name."""
    triggers: dict[tuple[str, str], Trigger] = {}
    for text in available().values():
        for step in _STEPS.finditer(_COMMENT.sub("", text)):
            if step["always"]:
                at = (step["altered"], step["always"])
                triggers[at] = msgspec.structs.replace(triggers[at], is_always=True)
            elif step["dropped"]:
                triggers.pop((step["dropped_on"], step["dropped"]), None)
            else:
                triggers[step["table"], step["name"]] = _read(step, is_always=False)
    return triggers


def expected_functions() -> dict[str, str]:
    """Return the source of each function of the migrations whose source PostgreSQL keeps, the last one's."""
    return {
        found["name"]: found["source"] for text in available().values() for found in _FUNCTION.finditer(text)
    }


def check_schema(conn: Connection, report: Report) -> None:
    """Name triggers that are missing, off or others, functions that were replaced, privileges too many."""
    wanted = expected_triggers()
    for sentence in (*_triggers(conn, wanted), *_functions(conn), *_privileges(conn, wanted)):
        report.find(sentence)


def _triggers(conn: Connection, wanted: dict[tuple[str, str], Trigger]) -> Iterator[str]:
    there = {}
    for table, name, enabled, definition in conn.execute(QUERIES["list_triggers"].encode()):
        read = _TRIGGER.search(definition)
        there[table, name] = (enabled, _read(read, is_always=enabled == "A") if read else None)
    for (table, name), trigger in sorted(wanted.items()):
        enabled, found = there.get((table, name), (None, None))
        where = f"trigger {name} on {table}"
        if enabled is None:
            yield f"{where} is missing"
        elif enabled == "D":
            yield f"{where} is disabled"
        elif enabled == "R" or (trigger.is_always and enabled != "A"):
            yield f"{where} does not fire always"
        elif found is None or msgspec.structs.replace(found, is_always=trigger.is_always) != trigger:
            yield f"{where} is not the migrations'"


def _functions(conn: Connection) -> Iterator[str]:
    wanted = expected_functions()
    there = {name: (source, lent) for name, source, lent in conn.execute(QUERIES["list_functions"].encode())}
    for name, source in sorted(wanted.items()):
        if name not in there:
            yield f"function {name} is missing"
        elif there[name][0] != source:
            yield f"function {name} is not the migrations'"
        elif there[name][1]:
            yield f"function {name} runs with its owner's rights for everybody"


def _privileges(conn: Connection, wanted: dict[tuple[str, str], Trigger]) -> Iterator[str]:
    """Yield what somebody may do that a trigger always refuses; TRUNCATE and TRIGGER are nobody's there."""
    refused: dict[str, set[str]] = {}
    for (table, _), trigger in wanted.items():
        if trigger.function == REFUSES and not trigger.is_conditional and trigger.is_always:
            refused.setdefault(table, {"TRIGGER"}).update(trigger.events)
    for table, privilege, grantee in conn.execute(QUERIES["list_privileges"].encode()):
        if privilege in refused.get(table, ()):
            yield f"{grantee} holds {privilege} on {table}"
