-- The times in which nothing was taken for a shard, and the moment at which one was last known to be taken for.

-- name: insert_outages
-- $1 shards, $2 starts, null where Redis does not know, $3 ends, $4 seconds of the shortest. An outage begins no sooner than the
-- last moment that is remembered; one that nobody knows the start of is none. Those that are new come back.
INSERT INTO ingest_outages (shard, started_at, ended_at)
SELECT shard, started_at, ended_at
FROM (SELECT o.shard, greatest(o.started_at, t.taken_at) AS started_at, o.ended_at
      FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) o (shard, started_at, ended_at)
      LEFT JOIN ingest_taken t ON t.shard = o.shard) o
WHERE ended_at - started_at >= $4::float8 * interval '1 second'
ON CONFLICT (shard, ended_at) DO NOTHING
RETURNING shard, started_at, ended_at;

-- name: remember_taken
-- $1 shards, $2 moments. As it is read: a clock that is set back takes it along.
INSERT INTO ingest_taken AS t (shard, taken_at)
SELECT shard, taken_at FROM unnest($1::int[], $2::timestamptz[]) n (shard, taken_at)
ON CONFLICT (shard) DO UPDATE SET taken_at = excluded.taken_at WHERE t.taken_at <> excluded.taken_at;

-- name: list_outages
-- $1 shard, $2 from, $3 before. What of its time nothing was taken for it, oldest first.
SELECT started_at, ended_at FROM ingest_outages WHERE shard = $1 AND ended_at > $2 AND started_at < $3 ORDER BY started_at;
