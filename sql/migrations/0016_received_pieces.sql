-- Where a client's numbers are among a session's: a retry is answered by a few rows, however long the session is.

-- One row per piece: clientSequences that were received in one go and in order. A client that is alone in its session has
-- one row; each append of another one between its own begins a new row. Written in the COPY's transaction.
CREATE TABLE received_pieces (
    session_id bigint NOT NULL,
    client     bigint NOT NULL,
    first      bigint NOT NULL,                         -- clientSequence
    through    bigint NOT NULL,
    seq        bigint,                                  -- sequence of the first; null: refused, and settled without an event
    first_at   timestamptz NOT NULL,                    -- server time of the first and of the last event
    last_at    timestamptz NOT NULL,
    PRIMARY KEY (session_id, client, first),
    CHECK (first <= through)
) WITH (fillfactor = 50);

INSERT INTO received_pieces (session_id, client, first, through, seq, first_at, last_at)
SELECT session_id, client, min(client_seq), max(client_seq), min(seq), min(occurred_at), max(occurred_at)
FROM (
    SELECT *, seq - row_number() OVER w AS island, client_seq - row_number() OVER w AS coast
    FROM (
        SELECT session_id, client, client_seq, seq, occurred_at FROM events WHERE client_seq IS NOT NULL
        UNION ALL
        SELECT session_id, (letter ->> 'client')::bigint, (letter ->> 'clientSequence')::bigint, seq, occurred_at
        FROM (SELECT session_id, seq, occurred_at, convert_from(event, 'UTF8')::json AS letter FROM dead_letters) d
        WHERE letter ->> 'clientSequence' IS NOT NULL
    ) numbered
    WINDOW w AS (PARTITION BY session_id, client ORDER BY seq)
) placed
GROUP BY session_id, client, island, coast
ON CONFLICT DO NOTHING;

GRANT SELECT, INSERT, UPDATE ON received_pieces TO veritas_ingest;
