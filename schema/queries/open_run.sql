-- The last run, if it did not say that it ended.
SELECT b.boot_id, r.pid, r.pid_start
FROM run r JOIN boot b USING (boot)
WHERE r.run = (SELECT max(run) FROM run) AND r.ended_us IS NULL
