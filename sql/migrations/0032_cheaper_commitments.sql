-- The same rows and hashes as before, for less. A function in SQL is parsed and planned anew in each transaction that calls it,
-- one in PL/pgSQL once a session. Each setting that a function brings costs a push and a pop, which its caller has paid. And a
-- session that planned its first five calls on a small table goes on planning every call once the table has grown: its generic
-- plan then seems dearer than they were. All that is read here is read by its key, for which one plan does.
CREATE OR REPLACE FUNCTION record_hashes(of_record text, of_id text, of_subject uuid, salt bytea) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' SET plan_cache_mode = 'force_generic_plan' AS $$
BEGIN
    RETURN (SELECT coalesce(
                string_agg(part || ': ' || left(encode(sha256(salt || convert_to(coalesce(state, ''), 'UTF8')), 'hex'), 32), E'\n'
                           ORDER BY part COLLATE "C"), '')
            FROM record_rows(of_record, of_id, of_subject));
END
$$;

-- Called by record_hashes alone, whose settings hold in it.
ALTER FUNCTION record_rows RESET ALL;
