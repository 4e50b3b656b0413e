-- The same rows and hashes as before, for less: a function in SQL is parsed and planned anew in each transaction that calls it,
-- one in PL/pgSQL once a session; and each setting that a function brings costs a push and a pop, which its caller has paid.
CREATE OR REPLACE FUNCTION record_hashes(of_record text, of_id text, of_subject uuid, salt bytea) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    RETURN (SELECT coalesce(
                string_agg(part || ': ' || left(encode(sha256(salt || convert_to(coalesce(state, ''), 'UTF8')), 'hex'), 32), E'\n'
                           ORDER BY part COLLATE "C"), '')
            FROM record_rows(of_record, of_id, of_subject));
END
$$;

-- Called by record_hashes alone, whose settings hold in it.
ALTER FUNCTION record_rows RESET ALL;
