-- Statements of the ledger's sealer.

-- name: try_seal
-- One sealer at a time; held until the connection closes.
SELECT pg_try_advisory_lock(1986359925, 16) AS owned;

-- name: seal_pending
-- $1 size of the tree bigint, $2 events at most
-- Takes what is committed and gives it the next positions; one transaction with the tiles. A queued event that is not
-- there makes a leaf without a hash, which is refused. What is sealed is marked for publication.
WITH taken AS (
    DELETE FROM ledger_pending WHERE ctid = ANY (ARRAY (SELECT ctid FROM ledger_pending LIMIT $2)) RETURNING event_id
), sealed AS (
    INSERT INTO ledger_leaves (position, event_id, leaf_hash)
    SELECT $1 + row_number() OVER (ORDER BY t.event_id) - 1, t.event_id, sha256('\x00'::bytea || e.body)
    FROM taken t
    LEFT JOIN ledger_events e ON e.id = t.event_id
    RETURNING position, event_id, leaf_hash
), marked AS (
    INSERT INTO reporting.partition_marks (dataset, partition)
    SELECT 'ledger_events', max(position)::text FROM sealed HAVING count(*) > 0
)
SELECT position, event_id, leaf_hash FROM sealed ORDER BY position;

-- name: read_size
SELECT coalesce(max(position) + 1, 0)::bigint AS size FROM ledger_leaves;

-- name: store_tiles
-- $1 levels int[], $2 indexes bigint[], $3 hashes bytea[]
INSERT INTO ledger_tiles (level, index, hashes)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::bytea[])
ON CONFLICT (level, index) DO UPDATE SET hashes = excluded.hashes;

-- name: read_last_head
SELECT note FROM ledger_heads ORDER BY size DESC LIMIT 1;

-- name: insert_head
-- $1 size bigint, $2 note text
INSERT INTO ledger_heads (size, note) VALUES ($1, $2);
