-- The files of the event archive are told of on the ledger (spec.md W-2): after retention they are the only copy.

ALTER TABLE reporting.archive_batches ADD COLUMN files jsonb;
COMMENT ON COLUMN reporting.archive_batches.files IS 'What is told once the batch is confirmed: the files of the days that it changed.';

-- Confirm a published batch and tell of it, once: `said` are the bodies of these events, of the installation and no organisation.
CREATE FUNCTION confirm_archive(of_batch bigint, by_events uuid[], at timestamptz[], said bytea[])
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE reporting.archive_batches SET confirmed_at = now(), files = NULL WHERE id = of_batch AND confirmed_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO ledger_events (id, organisation_id, occurred_at, kind, aggregate_type, aggregate_id, actor_id, actor_role,
                               subject_id, body)
    SELECT event_id, '00000000-0000-0000-0000-000000000000', told_at, 'archive.published', 'archive', of_batch::text, NULL, 'system', NULL,
           body
    FROM unnest(by_events, at, said) AS told (event_id, told_at, body);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION confirm_archive FROM PUBLIC;
GRANT EXECUTE ON FUNCTION confirm_archive TO veritas_pipeline;
