-- Lists go newest first within one organisation: without these they walk the rows of every other one too.
CREATE INDEX proctor_sessions_listed ON proctor_sessions (organisation_id, id);
CREATE INDEX exams_listed ON exams (organisation_id, id);
CREATE INDEX groups_listed ON groups (organisation_id, id);
