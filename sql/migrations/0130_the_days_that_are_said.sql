-- What the ledger is told of a step of retention is what held: where a policy was set since the step was made up, it is made up anew.

-- The days that a step's event says.
CREATE FUNCTION days_said(body bytea) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT (convert_from(body, 'UTF8')::json #>> '{detail,days}')::integer
$$;
REVOKE ALL ON FUNCTION days_said FROM PUBLIC;

-- As before, where the event says the days that hold.
CREATE OR REPLACE FUNCTION take_events(of_organisation uuid, sessions bigint[], expected bigint, at timestamptz, by_event uuid, said bytea)
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    taken record;
    deleted bigint;
BEGIN
    IF at > now() + interval '1 minute' THEN
        RAISE EXCEPTION 'nothing goes before its time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    SELECT count(*) AS sessions, array_agg(d.session_id) AS ids, array_agg(d.through_seq) AS through, min(d.first_at) AS first_at,
           max(d.last_at) AS last_at INTO taken
    FROM event_retention d
    WHERE d.session_id = ANY (sessions) AND d.organisation_id = of_organisation AND d.days = days_said(said) AND d.due_at <= at
      AND d.why IS NULL;
    IF taken.sessions <> cardinality(sessions) THEN
        RETURN NULL;
    END IF;
    deleted := delete_events(taken.ids, taken.through, taken.first_at, taken.last_at);
    IF deleted <> expected THEN
        RAISE EXCEPTION 'the archive has % of these events, the table %', expected, deleted USING ERRCODE = 'data_exception';
    END IF;
    INSERT INTO gone_events AS g (session_id, through_seq, total_events, first_at, last_at, event_id)
    SELECT p.session_id, p.through_seq, p.total_events, p.first_event_at, p.last_event_at, by_event
    FROM session_progress p WHERE p.session_id = ANY (sessions) AND p.through_seq > 0
    ON CONFLICT (session_id) DO UPDATE SET
        through_seq = excluded.through_seq, total_events = excluded.total_events, first_at = excluded.first_at,
        last_at = excluded.last_at, event_id = excluded.event_id, back_until = NULL;
    DELETE FROM hot_sessions h WHERE h.session_id = ANY (sessions);
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role,
                               subject_id, body)
    VALUES (by_event, of_organisation, at, 'events.archived', 'organisation', of_organisation::text, NULL, 'system', NULL, said);
    RETURN deleted;
END
$$;

CREATE OR REPLACE FUNCTION take_evidence(of_organisation uuid, pieces bigint[], at timestamptz, by_event uuid, said bytea,
                                         piece_events uuid[], piece_bodies bytea[])
    RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    due integer;
    bytes bigint;
BEGIN
    IF at > now() + interval '1 minute' THEN
        RAISE EXCEPTION 'nothing goes before its time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(1986359925, 8);
    -- whoever attaches one to an observation, or moves one, is waited for; what they have done counts
    PERFORM FROM evidence e WHERE e.id = ANY (pieces) ORDER BY e.id FOR UPDATE;
    SELECT count(*) INTO due
    FROM evidence_retention d
    WHERE d.evidence_id = ANY (pieces) AND d.organisation_id = of_organisation AND d.days = days_said(said) AND d.due_at <= at
      AND d.why IS NULL;
    IF due <> cardinality(pieces) OR due = 0 THEN
        RETURN NULL;
    END IF;
    UPDATE evidence e SET gone_at = at WHERE e.id = ANY (pieces);
    INSERT INTO leaving_evidence (evidence_id) SELECT unnest(pieces);
    DELETE FROM detector_claims c WHERE c.evidence_id = ANY (pieces);
    WITH sizes AS (
        SELECT mod(c.evidence_id, 16) AS slot, sum(c.size_bytes) AS size_bytes
        FROM evidence_chunks c
        WHERE c.evidence_id = ANY (pieces) AND c.stored_at IS NOT NULL
        GROUP BY 1
    ), freed AS (
        UPDATE evidence_usage u SET size_bytes = greatest(0, u.size_bytes - s.size_bytes)
        FROM sizes s
        WHERE u.organisation_id = of_organisation AND u.slot = s.slot
    )
    SELECT coalesce(sum(s.size_bytes), 0) INTO bytes FROM sizes s;
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role, subject_id,
                               body)
    SELECT t.event_id, of_organisation, at, 'evidence.expired', 'evidence', t.piece::text, NULL::uuid, 'system', NULL::uuid, t.body
    FROM unnest(pieces, piece_events, piece_bodies) AS t (piece, event_id, body)
    UNION ALL
    SELECT by_event, of_organisation, at, 'evidence.swept', 'organisation', of_organisation::text, NULL, 'system', NULL, said;
    RETURN bytes;
END
$$;
