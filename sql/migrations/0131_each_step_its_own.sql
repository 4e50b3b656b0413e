-- A step of retention opens what was handed in, and no erasure; a step that names an erasure is that of the erasure alone.

CREATE OR REPLACE FUNCTION is_erasing() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM erasures
                   WHERE id = nullif(current_setting('veritas.erasure', true), '')::uuid AND status = 'running'
                     AND xmin::text = pg_current_xact_id()::xid::text)
        OR EXISTS (SELECT FROM gone_contents
                   WHERE submission_id = nullif(current_setting('veritas.gone_contents', true), '')::uuid
                     AND coalesce(current_setting('veritas.erasure', true), '') = ''
                     AND xmin::text = pg_current_xact_id()::xid::text)
$$;
