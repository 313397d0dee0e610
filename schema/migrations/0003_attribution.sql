-- The sources that say whose memory it is where no process' resident memory does.

-- /proc/PID/fd, a row a process and name of file: memfds, deleted and other files on tmpfs, and DMA
-- buffers.
CREATE TABLE shm (
    id INTEGER PRIMARY KEY,       -- tick << 24 | entity
    files INTEGER,                -- distinct files that it holds open
    bytes INTEGER,                -- allocated, each file once on the machine: with its oldest holder
    held_bytes INTEGER,           -- allocated, also what an older holder is counted with
    dmabuf_bytes INTEGER,         -- in the place of bytes
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW shm_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.pid' AS pid, e.labels ->> '$.kind' AS kind,
       e.labels ->> '$.file' AS file, x.files, x.bytes, x.held_bytes,
       x.dmabuf_bytes,
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

-- Control groups, a row a group; the figures of a group hold those of the groups below it.
CREATE TABLE cgroup (
    id INTEGER PRIMARY KEY,
    current_bytes INTEGER,
    peak_bytes INTEGER,
    limit_bytes INTEGER,          -- NULL: none
    swap_bytes INTEGER,
    anon_bytes INTEGER,
    file_bytes INTEGER,           -- page cache, shmem_bytes with it
    shmem_bytes INTEGER,
    kernel_bytes INTEGER,         -- the kinds below and what has no name
    kernel_stack_bytes INTEGER,
    pagetables_bytes INTEGER,
    percpu_bytes INTEGER,
    vmalloc_bytes INTEGER,
    sock_bytes INTEGER,
    slab_reclaimable_bytes INTEGER,
    slab_unreclaimable_bytes INTEGER,
    oom_kills INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW cgroup_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.version' AS version, x.current_bytes,
       x.peak_bytes, x.limit_bytes, x.swap_bytes, x.anon_bytes, x.file_bytes, x.shmem_bytes,
       x.kernel_bytes, x.kernel_stack_bytes, x.pagetables_bytes, x.percpu_bytes,
       x.vmalloc_bytes, x.sock_bytes, x.slab_reclaimable_bytes, x.slab_unreclaimable_bytes,
       x.oom_kills,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN cgroup x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'cgroup')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.current_bytes IS NOT NULL;
