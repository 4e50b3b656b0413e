-- What the checker of the load tests reads: all that is stored of the sessions it knows from the clients' own logs.

-- name: list_stored
-- $1 session ids bigint[]. The marker is what the client put into its metadata.
SELECT session_id, seq, occurred_at, client, client_seq, event_type::int, payload->>'marker' AS marker
FROM events
WHERE session_id = ANY($1::bigint[]);

-- name: list_dead
-- $1 session ids bigint[]. The event's bytes may be anything; whoever reads them must expect that.
SELECT session_id, seq, occurred_at, event
FROM dead_letters
WHERE session_id = ANY($1::bigint[]);

-- name: count_stored
-- $1 session ids bigint[]
SELECT count(*) AS events, count(DISTINCT session_id) AS sessions
FROM events
WHERE session_id = ANY($1::bigint[]);

-- name: list_losses
-- Losses of acknowledged stream entries that the writer has seen.
SELECT shard, epoch, kind, expected_counter, found_counter
FROM stream_losses
ORDER BY id;
