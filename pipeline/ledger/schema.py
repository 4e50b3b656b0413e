"""
Whether the database still refuses what the migrations make it refuse: triggers, the functions behind them and
behind the ledger's commitments, tables that are tables, and privileges.

What is expected is read from the migrations' own text, so that it cannot fall behind them.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from pipeline.ledger.report import Report
from sql import named
from sql.migrate import available
from sql.running import Connection, run

QUERIES: Final = named("ledger_audit")
_TRIGGER: Final = re.compile(
    r"TRIGGER (?P<name>\w+) (?P<timing>BEFORE|AFTER) (?P<events>[\w, ]+?)"
    r" ON (?P<table>[\w.]+)"
    r"(?P<rest>.*?)EXECUTE FUNCTION (?:public\.)?(?P<function>[\w.]+)\((?P<arguments>[^)]*)\)",
    re.DOTALL,
)
_STEPS: Final = re.compile(
    _TRIGGER.pattern
    + r"|TABLE (?P<altered>[\w.]+) ENABLE ALWAYS TRIGGER (?P<always>\w+)"
    + r"|TRIGGER (?:IF EXISTS )?(?P<dropped>\w+) ON (?P<dropped_on>[\w.]+)",
    re.DOTALL,
)
_FUNCTION_STEPS: Final = re.compile(
    r"\bFUNCTION (?P<name>\w+)\s*\((?P<takes>[^;]*?)\)"
    r"(?P<settings>[^;)]*?|[^;]*?TABLE \([^;)]*\)[^;)]*?)\bAS \$\$(?P<source>.*?)\$\$"
    r"|ALTER FUNCTION (?P<altered>\w+)(?:\(\))? (?P<change>[^;]*);",
    re.DOTALL,
)
_SETTING: Final = re.compile(r"\bSET (\w+) = (.+?)(?=\s+(?:SET|SECURITY)\b|\s*$)", re.DOTALL)
_TABLE: Final = re.compile(r"\bCREATE TABLE (?P<name>[\w.]+) \(")
_TABLE_GONE: Final = re.compile(r"\bDROP TABLE (?P<name>[\w.]+)")
_COMMENT: Final = re.compile(r"^--.*", re.MULTILINE)
_CAST: Final = re.compile(r"::(?:double precision|timestamp with time zone|\w+)(?:\[\])?")
_SHORT: Final = {"timestamptz": "timestamp with time zone"}
_WORD: Final = re.compile(r"'[^']*'|[\w.]+|[^\s\w()\[\],']+")
QUOTE: Final = "'"
TABLE_KINDS: Final = ("r", "p")
REFUSES: Final = "refuse_change"  # refuses all that its trigger fires on, whoever asks


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a trigger does: `events` are words such as DELETE, with their columns; `how` is how often and under
    which condition, as `_plain` writes it; `is_always` holds under replication too.
    """

    timing: str
    events: frozenset[str]
    how: str
    function: str
    arguments: tuple[str, ...]
    is_always: bool


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """What a function does: in whose name it runs and under which settings, beside its text."""

    source: str
    language: str
    is_definers: bool
    settings: frozenset[str]


def _plain(clause: str) -> str:
    """Return a clause as it is, whether a person or PostgreSQL has written it: no brackets, no casts."""
    return " ".join(_WORD.findall(_CAST.sub("", clause.lower()))).replace("= any array", "in")


def _read(found: "re.Match[str]", *, is_always: bool) -> Trigger:
    return Trigger(
        timing=found["timing"],
        events=frozenset(" ".join(each.split()) for each in found["events"].split(" OR ")),
        how=_plain(found["rest"]),
        function=found["function"],
        arguments=tuple(re.findall(r"'([^']*)'", found["arguments"])),
        is_always=is_always,
    )


def _settings(text: str) -> frozenset[str]:
    """Return `name=value` of each SET, as PostgreSQL keeps them but for the case of their names."""
    return frozenset(
        f"{name.lower()}={value.strip().strip(chr(39))}" for name, value in _SETTING.findall(text)
    )


def _changed(function: Function, change: str) -> Function:
    """Return what an ALTER FUNCTION of the migrations makes of a function."""
    if change == "RESET ALL":
        return msgspec.structs.replace(function, settings=frozenset())
    return msgspec.structs.replace(
        function,
        is_definers=function.is_definers or "SECURITY DEFINER" in change,
        settings=function.settings | _settings(change),
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


def expected_functions() -> dict[str, Function]:
    """Return the migrations' functions whose source PostgreSQL keeps, by name and types."""
    functions: dict[str, Function] = {}
    for text in available().values():
        for step in _FUNCTION_STEPS.finditer(_COMMENT.sub("", text)):
            if step["altered"]:
                for at in [each for each in functions if each.startswith(step["altered"] + "(")]:
                    functions[at] = _changed(functions[at], step["change"].strip())
            else:
                language = re.search(r"LANGUAGE (\w+)", step["settings"])
                functions[f"{step['name']}({_types(step['takes'])})"] = Function(
                    source=step["source"],
                    language="" if language is None else language[1],
                    is_definers="SECURITY DEFINER" in step["settings"],
                    settings=_settings(step["settings"]),
                )
    return functions


def _types(takes: str) -> str:
    """Return the types of the arguments that go in, as PostgreSQL calls them."""
    plain = [each.partition(" DEFAULT ")[0].split() for each in takes.split(",")]
    given = [each for each in plain if each[:1] not in ([], ["OUT"])]
    return ", ".join(" ".join(_type(word) for word in each[1:]) for each in given)


def _type(word: str) -> str:
    """Return a word of a type as PostgreSQL has it, of an array too."""
    plain = word.removesuffix("[]")
    return _SHORT.get(plain, plain) + word[len(plain) :]


def expected_tables() -> set[str]:
    """Return the tables that the migrations leave behind."""
    tables: set[str] = set()
    for text in available().values():
        plain = _COMMENT.sub("", text)
        tables |= {found["name"] for found in _TABLE.finditer(plain)}
        tables -= {found["name"] for found in _TABLE_GONE.finditer(plain)}
    return tables


def check_schema(conn: Connection, report: Report) -> None:
    """
    Name triggers that are missing, off, others or too many, tables that are none any more, rules, functions
    that were replaced or run otherwise, and privileges too many.
    """
    wanted = expected_triggers()
    for sentence in (*_triggers(conn, wanted), *_tables(conn), *_functions(conn), *_privileges(conn, wanted)):
        report.find(sentence)


def _triggers(conn: Connection, wanted: dict[tuple[str, str], Trigger]) -> Iterator[str]:
    there, tables = {}, expected_tables()
    for table, name, enabled, definition in run(conn, QUERIES["list_triggers"]):
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
    for table, name in sorted(there.keys() - wanted.keys()):
        if table in tables:
            yield f"trigger {name} on {table} is none of the migrations'"


def _tables(conn: Connection) -> Iterator[str]:
    """Yield what stands where a table belongs, and rules, which do something else than what was asked."""
    there = {name: (kind, rules) for name, kind, rules in run(conn, QUERIES["list_tables"])}
    for table in sorted(expected_tables()):
        kind, rules = there.get(table, ("", []))
        if kind not in TABLE_KINDS:
            yield f"{table} is no table" if kind else f"table {table} is missing"
        for rule in rules if kind in TABLE_KINDS else ():
            yield f"rule {rule} on {table} is none of the migrations'"


def _functions(conn: Connection) -> Iterator[str]:
    wanted = expected_functions()
    there, lent = {}, set()
    for name, source, language, is_definers, kept, is_lent in run(conn, QUERIES["list_functions"]):
        settings = frozenset(
            f"{each.partition('=')[0].lower()}={each.partition('=')[2].strip(QUOTE)}" for each in kept
        )
        there[name] = Function(source=source, language=language, is_definers=is_definers, settings=settings)
        lent |= {name} if is_lent else set()
    for at, function in sorted(wanted.items()):
        name, found = at.partition("(")[0], there.get(at)
        if found is None:
            yield f"function {name} is missing"
        elif found.source != function.source:
            yield f"function {name} is not the migrations'"
        elif at in lent:
            yield f"function {name} runs with its owner's rights for everybody"
        elif found != function:
            yield f"function {name} does not run as the migrations say"
    names = {at.partition("(")[0] for at in wanted}
    for at in sorted(there.keys() - wanted.keys()):
        if at.partition("(")[0] in names:
            yield f"function {at} is none of the migrations'"


def _privileges(conn: Connection, wanted: dict[tuple[str, str], Trigger]) -> Iterator[str]:
    """Yield what somebody may do that a trigger always refuses; TRUNCATE and TRIGGER are nobody's there."""
    refused: dict[str, set[str]] = {}
    for (table, _), trigger in wanted.items():
        if trigger.function == REFUSES and " when " not in trigger.how and trigger.is_always:
            refused.setdefault(table, {"TRIGGER"}).update(trigger.events)
    for table, privilege, grantee in run(conn, QUERIES["list_privileges"]):
        if privilege in refused.get(table, ()):
            yield f"{grantee} holds {privilege} on {table}"
