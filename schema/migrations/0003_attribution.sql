-- The sources that say whose memory it is where no process' resident memory does.

-- /proc/PID/fd, a row a process and name of file: memfds, deleted and other files on tmpfs.
CREATE TABLE shm (
    id INTEGER PRIMARY KEY,       -- tick << 24 | entity
    files INTEGER,                -- distinct files that it holds open
    bytes INTEGER,                -- allocated, each file once on the machine: with its oldest holder
    held_bytes INTEGER,           -- allocated, also what an older holder is counted with
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW shm_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.pid' AS pid, e.labels ->> '$.kind' AS kind,
       e.labels ->> '$.file' AS file, x.files, x.bytes, x.held_bytes,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN shm x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'shm')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.files IS NOT NULL;
