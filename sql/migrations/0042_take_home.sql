-- An exam may be taken home: its time, and extra time, is up to thirty days (43,200 minutes) each. Wider constraints take the
-- narrower ones' places; the rows that are there have passed those, so that there is nothing to be looked through.
-- squawk-ignore-file ban-drop-constraint


ALTER TABLE exams
    DROP CONSTRAINT exams_duration_minutes_check,
    ADD CONSTRAINT exams_duration_minutes_check CHECK (duration_minutes BETWEEN 1 AND 43200) NOT VALID;
ALTER TABLE assignments
    DROP CONSTRAINT assignments_duration_minutes_check,
    DROP CONSTRAINT assignments_extra_minutes_check,
    ADD CONSTRAINT assignments_duration_minutes_check CHECK (duration_minutes BETWEEN 1 AND 43200) NOT VALID,
    ADD CONSTRAINT assignments_extra_minutes_check CHECK (extra_minutes BETWEEN 0 AND 43200) NOT VALID;
ALTER TABLE assignment_overrides
    DROP CONSTRAINT assignment_overrides_duration_minutes_check,
    DROP CONSTRAINT assignment_overrides_extra_minutes_check,
    ADD CONSTRAINT assignment_overrides_duration_minutes_check CHECK (duration_minutes BETWEEN 1 AND 43200) NOT VALID,
    ADD CONSTRAINT assignment_overrides_extra_minutes_check CHECK (extra_minutes BETWEEN 0 AND 43200) NOT VALID;
