-- Certificates of programmes (spec.md M-3): facts of an event on the ledger, and the text that one of them is the hash of.

-- What a version asks, as the text that certificates hash: always the same, for it never changes.
CREATE FUNCTION requirements_of(of_programme uuid, of_version integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_agg(asked ORDER BY number)::text FROM programme_requirements
    WHERE programme_id = of_programme AND version = of_version
$$;
REVOKE ALL ON FUNCTION requirements_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION requirements_of TO veritas_core;
