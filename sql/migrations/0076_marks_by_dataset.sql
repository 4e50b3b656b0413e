-- A dataset's marks are found among those of all others that wait to be published.

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX partition_marks_dataset ON reporting.partition_marks (dataset, id);
