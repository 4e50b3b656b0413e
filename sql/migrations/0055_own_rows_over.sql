-- A trigger without arguments has none, not an empty list of them: what such a one lets nobody change was changed by everybody.
-- So an attempt that is over keeps its outcome before its candidate, and what was taken back stays so for as long as was said.
CREATE OR REPLACE FUNCTION keep_all_but() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    given text[] := coalesce(tg_argv, '{}');
BEGIN
    IF to_jsonb(new) - given IS DISTINCT FROM to_jsonb(old) - given THEN
        RAISE EXCEPTION 'this asker changes nothing of %', concat_ws(' but ', tg_table_name, nullif(array_to_string(given, ', '), ''))
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN new;
END
$$;
