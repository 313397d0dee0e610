-- A run that never said that it ended was killed, or the machine went down: it ended with its last tick.
UPDATE run
SET ended_us = coalesce((SELECT max(boottime_us) FROM tick WHERE tick.run = run.run), started_us),
    end_reason = 'killed, or the machine went down'
WHERE ended_us IS NULL;
