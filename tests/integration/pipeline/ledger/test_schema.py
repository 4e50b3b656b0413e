"""A database that no longer refuses what the migrations make it refuse is named (spec.md L-1)."""

from pathlib import Path
from uuid import UUID

import pytest

from pipeline.ledger.schema import expected_functions, expected_triggers
from pipeline.ledger.verify import verify
from tests.kits.core import DatabaseAs
from tests.kits.ledger import Log, make_log

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
        "SELECT p.proname || '(' || array_to_string(ARRAY(SELECT format_type(t, NULL)"
        " FROM unnest(p.proargtypes::oid[]) t), ', ') || ')'"
        " FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
        " WHERE p.pronamespace = 'public'::regnamespace AND p.prosqlbody IS NULL"
        " AND l.lanname IN ('plpgsql', 'sql')"
        " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')"
    )

    assert set(triggers) == expected_triggers().keys()
    assert {name for (name,) in functions} == expected_functions().keys()


EVIL = "CREATE SCHEMA evil; "
IN_NAME_ONLY = {
    "function record_hashes does not run as the migrations say": """
        CREATE SCHEMA evil
        ALTER FUNCTION record_hashes SET search_path = evil, public""",
    "function commit_to_record does not run as the migrations say": """
        ALTER FUNCTION commit_to_record SECURITY INVOKER""",
    "function record_rows(text, text, uuid, bytea) is none of the migrations'": """
        CREATE FUNCTION record_rows(a text, b text, c uuid, d bytea) RETURNS text LANGUAGE sql RETURN a""",
    "function record_hashes is missing": """
        ALTER FUNCTION record_hashes RENAME TO other""",
    "trigger append_only on submission_scores is not the migrations'": """
        DROP TRIGGER append_only ON submission_scores
        CREATE TRIGGER append_only BEFORE UPDATE OF reason ON submission_scores"""
    """ FOR EACH ROW EXECUTE FUNCTION refuse_change()
        ALTER TABLE submission_scores ENABLE ALWAYS TRIGGER append_only""",
    "trigger append_only on submission_items is not the migrations'": """
        CREATE SCHEMA evil
        CREATE FUNCTION evil.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'
        DROP TRIGGER append_only ON submission_items
        CREATE TRIGGER append_only BEFORE UPDATE ON submission_items"""
    """ FOR EACH ROW EXECUTE FUNCTION evil.refuse_change()
        ALTER TABLE submission_items ENABLE ALWAYS TRIGGER append_only""",
    "trigger published on evaluation_versions is not the migrations'": """
        DROP TRIGGER published ON evaluation_versions
        CREATE TRIGGER published BEFORE UPDATE OR DELETE ON evaluation_versions"""
    """ FOR EACH ROW WHEN (OLD.status = 'never') EXECUTE FUNCTION refuse_change()
        ALTER TABLE evaluation_versions ENABLE ALWAYS TRIGGER published""",
    "trigger graded_outcome on exam_attempts is not the migrations'": """
        DROP TRIGGER graded_outcome ON exam_attempts
        CREATE TRIGGER graded_outcome BEFORE UPDATE ON exam_attempts"""
    """ FOR EACH ROW WHEN (asker_view() IN ('staff', 'organisation'))"""
    """ EXECUTE FUNCTION keep_all_but('score', 'percentage', 'passed', 'student_id')""",
    "trigger first on submission_scores is none of the migrations'": """
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.score := 100; RETURN NEW; END'
        CREATE TRIGGER first BEFORE INSERT ON submission_scores FOR EACH ROW EXECUTE FUNCTION f()""",
    "rule still on teacher_exam_permissions is none of the migrations'": """
        CREATE RULE still AS ON UPDATE TO teacher_exam_permissions DO INSTEAD NOTHING""",
    "groups is no table": """
        ALTER TABLE groups RENAME TO other_groups
        CREATE VIEW groups AS SELECT * FROM other_groups""",
}


@pytest.mark.parametrize("sentence", IN_NAME_ONLY)
def test_what_protects_the_rows_in_name_only_is_named(log: Log, sentence: str) -> None:
    for statement in IN_NAME_ONLY[sentence].strip().splitlines():
        log.run(statement)

    assert sentence in findings(log)


async def test_a_database_whose_sessions_look_elsewhere_is_checked_by_its_own_tables(log: Log) -> None:
    """A copy of rows or a function of the same name, in another schema, covers nothing that was changed."""
    await log.append(kind="organisation.updated")
    log.seal()
    ((name,),) = log.rows("SELECT current_database()::text")
    log.run("CREATE SCHEMA evil")
    log.run("CREATE TABLE evil.organisations AS SELECT * FROM organisations")
    log.run(
        "CREATE FUNCTION evil.record_hashes(a text, b text, c uuid, salt bytea) RETURNS text LANGUAGE sql"
        " AS $$ SELECT value FROM ledger_salts s WHERE s.salt = $4 $$"
    )
    log.run(f"INSERT INTO organisations (id, name, created_at) VALUES ('{UUID(int=0)}', 'Slipped in', now())")
    log.run(f'ALTER DATABASE "{name}" SET search_path = evil, public')

    assert [each.rpartition(": ")[2] for each in findings(log)] == ["its row organisation was not recorded"]
