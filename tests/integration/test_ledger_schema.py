"""A database that no longer refuses what the migrations make it refuse is named (spec.md L-1)."""

from pathlib import Path

import pytest

from deploy.ledger_schema import expected_functions, expected_triggers
from deploy.ledger_verify import verify
from tests.integration.core_kit import DatabaseAs
from tests.integration.ledger_kit import Log, make_log

PROTECTED = sorted(at for at, trigger in expected_triggers().items() if trigger.is_always)


OTHER = (
    "DROP TRIGGER {name} ON {table};"
    " CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW WHEN (false)"
    " EXECUTE FUNCTION refuse_change();"
    " ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"
)


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


def findings(log: Log) -> list[str]:
    return verify(log.owner_url, log.keys, witness=log.witness).findings


def test_every_protected_trigger_and_every_function_is_missed_when_it_is_off_gone_or_another(
    log: Log,
) -> None:
    assert findings(log) == []
    assert len(PROTECTED) > 20
    expected = []
    for n, (table, name) in enumerate(PROTECTED):
        where = f"trigger {name} on {table}"
        change, sentence = (
            (f"ALTER TABLE {table} DISABLE TRIGGER {name}", f"{where} is disabled"),
            (f"ALTER TABLE {table} ENABLE REPLICA TRIGGER {name}", f"{where} does not fire always"),
            (f"ALTER TABLE {table} ENABLE TRIGGER {name}", f"{where} does not fire always"),
            (f"DROP TRIGGER {name} ON {table}", f"{where} is missing"),
            (
                OTHER.format(name=name, table=table),
                f"{where} is not the migrations'",
            ),
        )[n % 5]
        for statement in change.split(";"):
            log.run(statement)
        expected.append(sentence)
    source = "BEGIN RETURN NULL; END"
    log.run(f"CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ {source} $$")
    log.run("GRANT EXECUTE ON FUNCTION refuse_removal TO PUBLIC")
    log.run("DROP FUNCTION commitments_in")
    log.run("GRANT TRUNCATE, TRIGGER ON submissions TO veritas_core")
    log.run(
        "CREATE FUNCTION commitments_in(body bytea) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$"
    )

    assert sorted(findings(log)) == sorted(
        [
            *expected,
            "function refuse_change is not the migrations'",
            "function commitments_in is not the migrations'",
            "function refuse_removal runs with its owner's rights for everybody",
            "veritas_core holds TRUNCATE on submissions",
            "veritas_core holds TRIGGER on submissions",
        ]
    )


def test_what_is_expected_is_what_the_migrations_leave_behind(log: Log) -> None:
    """Every trigger of ours is known to the verifier, and every function whose source the database keeps."""
    triggers = log.rows(
        "SELECT t.tgrelid::regclass::text, t.tgname::text"
        " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE NOT t.tgisinternal AND c.relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace)"
        " AND t.tgname NOT LIKE 'ts_%'"
    )
    functions = log.rows(
        "SELECT p.proname::text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
        " WHERE p.pronamespace = 'public'::regnamespace AND p.prosqlbody IS NULL"
        " AND l.lanname IN ('plpgsql', 'sql')"
        " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')"
    )

    assert set(triggers) == expected_triggers().keys()
    assert {name for (name,) in functions} == expected_functions().keys()
