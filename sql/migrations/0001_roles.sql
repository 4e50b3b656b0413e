-- Extension, and one least-privilege login role per process. Roles have no password: nobody can log in with one until
-- the operator (or the local stack) sets it. They belong to the server, so a second database finds them there already.

CREATE EXTENSION IF NOT EXISTS timescaledb;

DO $$
DECLARE
    process text;
BEGIN
    FOREACH process IN ARRAY ARRAY['veritas_ingest', 'veritas_core', 'veritas_pipeline', 'veritas_analyst'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', process);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
        EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', process, '5s');
    END LOOP;
    EXECUTE 'ALTER ROLE veritas_core SET statement_timeout = ''15s''';
    EXECUTE 'ALTER ROLE veritas_core SET idle_in_transaction_session_timeout = ''30s''';
    EXECUTE 'ALTER ROLE veritas_analyst SET statement_timeout = ''5min''';
    EXECUTE format('REVOKE CREATE ON SCHEMA public FROM PUBLIC');
END
$$;
