-- Whoever assigns an exam finds the organisation's students and groups (spec.md A-8): by the beginnings of a name's words or of
-- an address, whatever their case and marks, in the order of names. Both walk an index of the one organisation.

-- How names are compared: "Müller", "MULLER" and "müller" are one, and so are the forms of alef.
CREATE FUNCTION folded(of_text text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(regexp_replace(normalize(of_text, NFKD), '[\u0300-\u036F\u0591-\u05C7\u0610-\u061A\u0640\u064B-\u065F\u0670]', '', 'g'));

-- What somebody is found by: their name's words, the parts of those, their address. Each stands behind the organisation, so that
-- a search reads nobody else's; a hundred letters of each, for a lexeme has a bound.
CREATE FUNCTION search_words(organisation uuid, full_name text, email text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT coalesce(array_to_tsvector(array_agg(DISTINCT organisation || ' ' || left(word, 100))), '')
            FROM (SELECT regexp_split_to_table(folded(full_name), '\s+')
                  UNION ALL SELECT regexp_split_to_table(folded(full_name), '[^[:alnum:]]+')
                  UNION ALL SELECT folded(email)) words (word)
            WHERE word <> '');
CREATE FUNCTION search_query(organisation uuid, q text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT string_agg('''' || replace(replace(organisation || ' ' || left(word, 100), '\', '\\'), '''', '''''') || ''':*', ' & ')::tsquery
            FROM regexp_split_to_table(folded(q), '\s+') words (word)
            WHERE word <> '');
COMMENT ON FUNCTION search_query(uuid, text) IS 'Every word must begin one of search_words; null where there is no word.';

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_students ON users (organisation_id, folded(full_name), id) WHERE role = 'student' AND is_active;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_found ON users USING gin (search_words(organisation_id, full_name, email)) WHERE role = 'student' AND is_active;

-- Students that staff may name. With its owner's rights: row security lets no index find what a function has made of a column.
CREATE VIEW listed_students AS
SELECT id, organisation_id, full_name, email, folded(full_name) AS sorted_by, search_words(organisation_id, full_name, email) AS found_by
FROM users
WHERE organisation_id = (SELECT asker_organisation()) AND role = 'student' AND is_active
  AND (SELECT asker_view()) IN ('staff', 'organisation', 'observer');
GRANT SELECT ON listed_students TO veritas_core;
