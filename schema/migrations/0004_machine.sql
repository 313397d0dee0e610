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
