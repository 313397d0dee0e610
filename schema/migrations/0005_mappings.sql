-- What costs much to read: mappings of processes, graphics memory, and who allocated what.

-- /proc/PID/smaps_rollup, a row a process. hugetlb_kib is in none of the others.
CREATE TABLE smaps_rollup (
    id INTEGER PRIMARY KEY,       -- tick << 24 | entity
    rss_kib INTEGER,
    pss_kib INTEGER,              -- what n processes share counts as a part of n
    pss_anon_kib INTEGER,
    pss_file_kib INTEGER,
    pss_shmem_kib INTEGER,
    uss_kib INTEGER,              -- what goes when it ends: private clean and dirty
    private_dirty_kib INTEGER,
    lazy_free_kib INTEGER,
    anon_huge_kib INTEGER,
    hugetlb_kib INTEGER,
    swap_kib INTEGER,
    swap_pss_kib INTEGER,
    locked_kib INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW smaps_rollup_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.pid' AS pid, x.rss_kib, x.pss_kib,
       x.pss_anon_kib, x.pss_file_kib, x.pss_shmem_kib, x.uss_kib, x.private_dirty_kib,
       x.lazy_free_kib, x.anon_huge_kib, x.hugetlb_kib, x.swap_kib, x.swap_pss_kib, x.locked_kib,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN smaps_rollup x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'smaps_rollup')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.rss_kib IS NOT NULL;

-- /proc/PID/smaps of a few processes, a row a process and name of mappings (what pmap shows).
CREATE TABLE smaps (
    id INTEGER PRIMARY KEY,
    mappings INTEGER,             -- how many of this name
    size_kib INTEGER,             -- address space
    rss_kib INTEGER,
    pss_kib INTEGER,
    private_clean_kib INTEGER,
    private_dirty_kib INTEGER,
    anonymous_kib INTEGER,
    anon_huge_kib INTEGER,
    swap_kib INTEGER,
    locked_kib INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW smaps_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.pid' AS pid, e.labels ->> '$.file' AS mapping,
       x.mappings, x.size_kib, x.rss_kib, x.pss_kib, x.private_clean_kib, x.private_dirty_kib,
       x.anonymous_kib, x.anon_huge_kib, x.swap_kib, x.locked_kib,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN smaps x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'smaps')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.mappings IS NOT NULL;

-- /proc/PID/fdinfo of graphics devices, a row a process, device and region of memory.
CREATE TABLE drm (
    id INTEGER PRIMARY KEY,
    clients INTEGER,              -- open files of the device; each counts with one process
    total_bytes INTEGER,          -- size of all buffers
    shared_bytes INTEGER,
    resident_bytes INTEGER,       -- those that have memory
    purgeable_bytes INTEGER,
    active_bytes INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW drm_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.pid' AS pid, e.labels ->> '$.driver' AS driver,
       e.labels ->> '$.region' AS region, x.clients, x.total_bytes, x.shared_bytes,
       x.resident_bytes, x.purgeable_bytes, x.active_bytes,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN drm x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'drm')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.clients IS NOT NULL;

-- /proc/allocinfo, a row a call site; the row `rest` adds up those that have none of their own.
CREATE TABLE allocinfo (
    id INTEGER PRIMARY KEY,
    bytes INTEGER,
    calls INTEGER,                -- allocations that are not freed
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW allocinfo_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.file' AS site,
       e.labels ->> '$.module' AS module, x.bytes, x.calls,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN allocinfo x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'allocinfo')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.bytes IS NOT NULL;

-- page_owner_stacks/show_stacks, a row a stack; the row `rest` adds up those that have none of their own.
CREATE TABLE page_owner (
    id INTEGER PRIMARY KEY,
    alloc_pages INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW page_owner_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.module' AS module,
       e.labels ->> '$.stack' AS stack, x.alloc_pages,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN page_owner x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'page_owner')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.alloc_pages IS NOT NULL;

-- kmemleak's report, a row a stack.
CREATE TABLE kmemleak (
    id INTEGER PRIMARY KEY,
    objects INTEGER,              -- that nothing points to
    bytes INTEGER,
    first_jiffies INTEGER,        -- when the first of them was allocated, in jiffies
    last_jiffies INTEGER,
    least_age_ms INTEGER,         -- where the kernel prints ages
    most_age_ms INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW kmemleak_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.module' AS module,
       e.labels ->> '$.stack' AS stack, e.labels ->> '$.by_comm' AS by_comm, x.objects, x.bytes,
       x.first_jiffies, x.last_jiffies, x.least_age_ms, x.most_age_ms,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN kmemleak x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'kmemleak')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.objects IS NOT NULL;
