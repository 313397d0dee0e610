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

-- /proc/sysvipc/shm, a row a segment; the label pid is its creator.
CREATE TABLE sysvshm (
    id INTEGER PRIMARY KEY,
    size_bytes INTEGER,           -- asked for
    rss_bytes INTEGER,
    swap_bytes INTEGER,
    attached INTEGER,             -- how often it is attached now
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW sysvshm_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.pid' AS pid, e.labels ->> '$.key' AS ipc_key,
       x.size_bytes, x.rss_bytes, x.swap_bytes, x.attached,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN sysvshm x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'sysvshm')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.size_bytes IS NOT NULL;

-- Mounted tmpfs, a row a file system: what statvfs says.
CREATE TABLE tmpfs (
    id INTEGER PRIMARY KEY,
    used_bytes INTEGER,
    size_bytes INTEGER,           -- its limit
    inodes INTEGER,               -- in use; NULL where their number is not limited
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW tmpfs_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.dev' AS dev, e.labels ->> '$.fstype' AS fstype,
       x.used_bytes, x.size_bytes, x.inodes,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN tmpfs x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'tmpfs')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.used_bytes IS NOT NULL;

-- /proc/modules, a row a module.
CREATE TABLE modules (
    id INTEGER PRIMARY KEY,
    size_bytes INTEGER,
    refs INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW modules_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.taint' AS taint, x.size_bytes, x.refs,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN modules x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'modules')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.size_bytes IS NOT NULL;
