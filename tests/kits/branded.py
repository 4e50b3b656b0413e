"""A word that nobody else has, wherever a person's texts are; and the search for it everywhere."""

from pathlib import Path
from typing import Final

import polars as pl
import psycopg
import redis

from kernel.personal import HELD, Of

WORD: Final = "zaqxswvfr"
ADDRESS: Final = "198.51.100.77"
TO_OWNER: Final = {
    Of.person: "SELECT id FROM users WHERE id = %(person)s",
    Of.attempt: "SELECT id FROM exam_attempts WHERE student_id = %(person)s",
    Of.session: "SELECT id FROM proctor_sessions WHERE candidate_id = %(person)s",
    Of.submission: "SELECT id FROM submissions WHERE author_id = %(person)s"
    " UNION SELECT submission_id FROM submission_subjects WHERE subject_id = %(person)s",
    Of.evidence: "SELECT e.id FROM evidence e JOIN proctor_sessions s ON s.id = e.session_id"
    " WHERE s.candidate_id = %(person)s",
    Of.decision: "SELECT id FROM proctor_decisions WHERE candidate_id = %(person)s",
    Of.claim: "SELECT id FROM claims WHERE candidate_id = %(person)s",
    Of.login: "SELECT id FROM logins WHERE user_id = %(person)s",
    Of.enrolment: "SELECT id FROM programme_enrolments WHERE user_id = %(person)s",
}
VALUES: Final = {
    "text": f"'{WORD}'",
    "json": f'\'{{"text": "{WORD}", "{WORD}": 1}}\'',
    "jsonb": f'\'{{"text": "{WORD}", "{WORD}": 1}}\'',
    "bytea": f"convert_to('{WORD}', 'UTF8')",
    "inet": f"'{ADDRESS}'",
}
# What has to be what it is: digests, salts, one of a few words, what opens the ledger or names a stored file.
NO_WORD: Final = {
    "users.password_hash",
    "logins.reason",
    "evidence.tier",
    "evidence_chunks.object_key",
    "ledger_salts.value",
    "refresh_tokens.sha256",
    "invitations.sha256",
    "evidence.sha256",
    "evidence_chunks.sha256",
    "idempotency_keys.request",
    "evidence_chunks.stated_sha256",
    "launch_uses.agent_sha256",
    "submissions.body_sha256",
    "login_attempts.account",
    "ledger_salts.salt",
    "reporting.draft_passages.fingerprints",
    "login_attempts.network",
    "login_networks.network",
    "reporting.written_texts.facts_sha256",
}


def brand(url: str, person: str) -> set[str]:
    """Put the word where a person's texts are, triggers or not; return the columns that have it now."""
    done = set()
    with psycopg.connect(url) as conn:
        conn.execute("SET session_replication_role = replica")
        kinds = {
            (table, column): kind
            for table, column, kind in conn.execute(
                "SELECT attrelid::regclass::text, attname, format_type(atttypid, NULL)"
                " FROM pg_attribute WHERE attnum > 0"
            )
        }
        always = conn.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger"
            " WHERE tgenabled = 'A' AND NOT tgisinternal"
        ).fetchall()
        for table, name in always:
            conn.execute(f'ALTER TABLE {table} DISABLE TRIGGER "{name}"'.encode())
        for table, held in HELD.items():
            columns = [each for each in held.goes if f"{table}.{each}" not in NO_WORD]
            if held.of is Of.nobody or not columns:
                continue
            texts = ", ".join(f"{each} = {_value(table, each, kinds[table, each])}" for each in columns)
            statement = f"UPDATE {table} SET {texts} WHERE {held.by} IN ({TO_OWNER[held.of]})"
            if conn.execute(statement.encode(), {"person": person}).rowcount:
                done |= {f"{table}.{each}" for each in columns}
        for table, name in always:
            conn.execute(f'ALTER TABLE {table} ENABLE ALWAYS TRIGGER "{name}"'.encode())
    return done


def _value(table: str, column: str, kind: str) -> str:
    if (table, column) == ("users", "email"):
        return f"'{WORD}@here.example'"
    if (table, column) == ("events", "event_name"):
        return f"CASE WHEN event_type = 0 THEN '{WORD}' END"
    if (table, column) == ("submissions", "idempotency_key"):
        return f"'{WORD}' || id"
    if (table, column) == ("submission_scores", "reason"):
        return f"CASE WHEN scored_by IS NULL THEN reason ELSE '{WORD}' END"
    return VALUES[kind]


def expected(*, without: set[str]) -> set[str]:
    """Return the columns that `brand` has to reach."""
    return {
        f"{table}.{column}"
        for table, held in HELD.items()
        for column in held.goes
        if held.of is not Of.nobody
        and not table.startswith("reporting.")
        and f"{table}.{column}" not in NO_WORD | without
    }


def found_in_database(url: str, *words: str) -> list[str]:
    """Return the tables, chunks and whatever else holds rows, that have a word, as text or as bytes."""
    found = []
    with psycopg.connect(url) as conn:
        tables = conn.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'm')"
            " AND relnamespace <> ALL (ARRAY['pg_catalog', 'information_schema']::regnamespace[])"
        ).fetchall()
        for (table,) in tables:
            for word in words:
                either = "strpos(t::text, %s) > 0 OR strpos(t::text, %s) > 0"
                statement = f"SELECT count(*) FROM ONLY {table} t WHERE {either}"
                count = conn.execute(statement.encode(), (word, word.encode().hex())).fetchall()[0][0]
                found += [f"{table}: {word}"] * count
    return found


def found_in_files(folder: Path, *words: str) -> list[str]:
    """Return the files below a folder that have a word; Parquet files by their rows."""
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pl.read_parquet(path, hive_partitioning=False).rows()).encode()
        found += [f"{path.relative_to(folder)}: {word}" for word in words if word.encode() in content]
    return found


def found_in_redis(url: str, *words: str) -> list[str]:
    """Return the keys whose names or values have a word."""
    with redis.Redis.from_url(url) as client:
        return [
            f"{key!r}: {word}"
            for key in client.scan_iter()
            for word in words
            if word.encode() in key + (client.dump(key) or b"")
        ]
