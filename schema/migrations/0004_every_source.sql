-- Every source: the whole machine's own things, mappings and call sites, and what tells damage.

-- The cheap sources of the whole machine that have things of their own, and what a control group is
-- held back by.

-- /sys/block/zram*, a row a device.
CREATE TABLE zram (
    id INTEGER PRIMARY KEY,       -- tick << 24 | entity
    data_bytes INTEGER,           -- stored, before compression
    compressed_bytes INTEGER,
    used_bytes INTEGER,           -- memory that it takes
    limit_bytes INTEGER,          -- NULL: none
    peak_bytes INTEGER,
    same_pages INTEGER,           -- of one value: they take no memory
    compacted_pages INTEGER,
    huge_pages INTEGER,           -- that could not be compressed
    failed_reads INTEGER,
    failed_writes INTEGER,
    backing_bytes INTEGER,        -- written back to a disk
    disk_bytes INTEGER,           -- its size
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW zram_at AS
SELECT t.tick, x.entity, e.name, x.data_bytes, x.compressed_bytes, x.used_bytes, x.limit_bytes,
       x.peak_bytes, x.same_pages, x.compacted_pages, x.huge_pages, x.failed_reads, x.failed_writes,
       x.backing_bytes, x.disk_bytes,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN zram x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'zram')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.data_bytes IS NOT NULL;

-- /sys/kernel/mm/hugepages, a row a size; numbers of huge pages of that size.
CREATE TABLE hugepages (
    id INTEGER PRIMARY KEY,
    total INTEGER,
    free INTEGER,
    reserved INTEGER,             -- promised and still free
    surplus INTEGER,              -- beyond the pool
    pool_bytes INTEGER,           -- total, in bytes
    used_bytes INTEGER,           -- total less free, in bytes
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW hugepages_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.size_kib' AS size_kib, x.total, x.free, x.reserved,
       x.surplus, x.pool_bytes, x.used_bytes,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN hugepages x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'hugepages')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.total IS NOT NULL;

-- /sys/kernel/mm/cma and debugfs, a row an area, in pages.
CREATE TABLE cma (
    id INTEGER PRIMARY KEY,
    total_pages INTEGER,
    used_pages INTEGER,           -- held by drivers
    largest_free_pages INTEGER,
    allocated_pages INTEGER,      -- ever since boot, as the next two
    failed_pages INTEGER,
    released_pages INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW cma_at AS
SELECT t.tick, x.entity, e.name, x.total_pages, x.used_pages, x.largest_free_pages,
       x.allocated_pages, x.failed_pages, x.released_pages,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN cma x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'cma')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING coalesce(x.total_pages, x.used_pages, x.allocated_pages) IS NOT NULL;

-- /sys/kernel/debug/extfrag, a row a zone; orders that the kernel has not are NULL.
CREATE TABLE extfrag (
    id INTEGER PRIMARY KEY,
    unusable_order0 REAL,         -- share of the free memory in smaller blocks
    unusable_order1 REAL,
    unusable_order2 REAL,
    unusable_order3 REAL,
    unusable_order4 REAL,
    unusable_order5 REAL,
    unusable_order6 REAL,
    unusable_order7 REAL,
    unusable_order8 REAL,
    unusable_order9 REAL,
    unusable_order10 REAL,
    unusable_order11 REAL,
    unusable_order12 REAL,
    unusable_order13 REAL,
    index_order0 REAL,            -- -1: it is there; 0: too little memory; 1: fragments
    index_order1 REAL,
    index_order2 REAL,
    index_order3 REAL,
    index_order4 REAL,
    index_order5 REAL,
    index_order6 REAL,
    index_order7 REAL,
    index_order8 REAL,
    index_order9 REAL,
    index_order10 REAL,
    index_order11 REAL,
    index_order12 REAL,
    index_order13 REAL,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE VIEW extfrag_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.node' AS node, e.labels ->> '$.zone' AS zone,
       x.unusable_order0, x.unusable_order1, x.unusable_order2, x.unusable_order3,
       x.unusable_order4, x.unusable_order5, x.unusable_order6, x.unusable_order7,
       x.unusable_order8, x.unusable_order9, x.unusable_order10, x.unusable_order11,
       x.unusable_order12, x.unusable_order13, x.index_order0, x.index_order1, x.index_order2,
       x.index_order3, x.index_order4, x.index_order5, x.index_order6, x.index_order7,
       x.index_order8, x.index_order9, x.index_order10, x.index_order11, x.index_order12,
       x.index_order13,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN extfrag x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'extfrag')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING coalesce(x.unusable_order0, x.index_order0) IS NOT NULL;

-- What a control group may have, and how often it came to that.
ALTER TABLE cgroup ADD COLUMN high_bytes INTEGER; -- reclaim begins; NULL: never
ALTER TABLE cgroup ADD COLUMN swap_limit_bytes INTEGER; -- NULL: none
ALTER TABLE cgroup ADD COLUMN limit_hits INTEGER; -- how often limit_bytes was reached, since the group began
ALTER TABLE cgroup ADD COLUMN high_hits INTEGER; -- how often high_bytes was
ALTER TABLE cgroup ADD COLUMN oom_events INTEGER; -- how often reclaim gave too little

DROP VIEW cgroup_at;

CREATE VIEW cgroup_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.version' AS version, x.current_bytes, x.peak_bytes,
       x.limit_bytes, x.swap_bytes, x.anon_bytes, x.file_bytes, x.shmem_bytes, x.kernel_bytes,
       x.kernel_stack_bytes, x.pagetables_bytes, x.percpu_bytes, x.vmalloc_bytes, x.sock_bytes,
       x.slab_reclaimable_bytes, x.slab_unreclaimable_bytes, x.oom_kills, x.high_bytes,
       x.swap_limit_bytes, x.limit_hits, x.high_hits, x.oom_events,
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

-- By what a reader knows that the rows of a sample are all there and as they were stored.
--
-- A copy that is torn (pages from different moments) can be a well-formed database that lacks rows,
-- and since only changes are stored a row that is lost would read as "nothing has changed".

ALTER TABLE sample ADD COLUMN stored INTEGER; -- rows of the source that stand at this tick
-- Over every row stored since the last keyframe, and this sample's status and time; NULL: not known.
ALTER TABLE sample ADD COLUMN digest INTEGER;
