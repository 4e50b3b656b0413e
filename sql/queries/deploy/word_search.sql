-- Where a word is found, whatever holds rows: for a demonstration that it is nowhere.

-- name: count_tables_with
-- $1 word. Every row of every table is read.
SELECT count(*)
FROM pg_class c
WHERE c.relkind IN ('r', 'm') AND c.relnamespace <> ALL (ARRAY['pg_catalog', 'information_schema']::regnamespace[])
  AND (xpath('//found/text()', query_to_xml(format('SELECT EXISTS (SELECT FROM ONLY %s t WHERE strpos(t::text, %L) > 0) AS found',
                                                   c.oid::regclass, $1::text), false, true, '')))[1]::text = 'true';
