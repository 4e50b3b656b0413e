"""A restored backup has people who were erased since; they are erased again (spec.md G-2)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.commands.cli import app
from deploy.local.postgres import Postgres
from kernel.privacy import ErasureStatus, Step
from kernel.storage.opening import open_tiers
from pipeline.ledger.verify import verify
from pipeline.privacy.erasing import erase_due
from pipeline.privacy.keeping import Became, ask_again, list_kept
from pipeline.projections.turns import project
from pipeline.publications import publish_marked
from sql.running import connect
from tests.conftest import logins_on, new_database
from tests.kits.authoring import submit
from tests.kits.branded import WORD, brand, found_in_database
from tests.kits.core import DatabaseAs
from tests.kits.core import core_api as serving
from tests.kits.ledger import Log, make_log
from tests.kits.warehouse import root_of

ASKED = (
    "INSERT INTO erasures (id, organisation_id, person_id, requested_by, requested_at, stepped_at)"
    " SELECT gen_random_uuid(), u.organisation_id, u.id, a.id, now(), now()"
    " FROM users u JOIN users a ON a.organisation_id = u.organisation_id AND a.role = 'admin'"
    " WHERE u.id = '{}'"
)


def log_of(database: str, database_as: DatabaseAs, folder: Path) -> Log:
    """Return a ledger on a database, whose warehouse is this folder's."""
    return make_log(
        database, database_as, folder,
        warehouse=str(folder / "warehouse"), evidence_store=str(folder / "hot"),
        evidence_cold_store=str(folder / "cold"), erasure_settled_s=0, build_grace_s=0, cohort_settled_s=0,
        cohort_every_s=0,
    )  # fmt: skip


def erase(log: Log) -> None:
    """Let the pipeline do all that there is for it, and the erasure come to its end."""
    for after_s in (0, 1):
        with connect(log.settings.database_url) as conn:
            now = datetime.now(UTC) + timedelta(seconds=after_s)
            erase_due(conn, open_tiers(log.settings), log.settings, now=now)
        for _ in range(3):
            project(log.settings, seconds_max=60)
        publish_marked(log.settings)


@pytest.mark.slow("a person is erased twice, in two databases")
async def test_whom_a_restored_backup_brings_back_is_erased_again_g2(
    postgres: Postgres,
    template: dict[str, str],
    redis_url: str,
    database: str,
    database_as: DatabaseAs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = log_of(database, database_as, tmp_path)
    async with serving(database, database_as) as api:
        attempt_id, student = await api.start_attempt(), str(api.people["student"].id)
        assert (await submit(api, attempt_id)).status in {200, 201}
    brand(database, student)
    with new_database(postgres, of=database.rpartition("/")[2]) as backup:
        log.run(ASKED.format(student))
        erase(log)
        assert log.rows("SELECT status FROM erasures") == [(ErasureStatus.done,)]
        (kept,) = list_kept(root_of(log.settings))
        assert str(kept.person_id) == student

        restored = log_of(backup, logins_on(backup, template, redis_url), tmp_path)
        assert found_in_database(backup, WORD) != []
        monkeypatch.setenv("VERITAS_DATABASE_URL", restored.settings.database_url)
        monkeypatch.setenv("VERITAS_WAREHOUSE", restored.settings.warehouse)
        said = CliRunner().invoke(app, ["restore", "erasures"])
        assert "1 people are to be erased again" in said.output
        with restored.connect() as conn:
            again = ask_again(conn, root_of(restored.settings), now=datetime.now(UTC))
        assert again == {Became.stands: 1}
        erase(restored)

        assert restored.rows("SELECT id, status, step FROM erasures") == [
            (kept.id, ErasureStatus.done, Step.done)
        ]
        assert found_in_database(backup, WORD) == []
        restored.seal()
        assert verify(restored.owner_url, restored.keys, witness=restored.witness).findings == []
        with log.connect() as conn:
            assert ask_again(conn, root_of(log.settings), now=datetime.now(UTC)) == {Became.stands: 1}
    with new_database(postgres) as empty:
        other = log_of(empty, logins_on(empty, template, redis_url), tmp_path)
        with other.connect() as conn:
            assert ask_again(conn, root_of(other.settings), now=datetime.now(UTC)) == {Became.unknown: 1}
