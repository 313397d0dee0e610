-- The entity sources: a table each, of the source's name, with the columns of its spec.
--
-- Only rows that changed are stored; a row of NULLs says that the entity is gone or was not obtained.
-- NAME_at gives the picture at a tick:  SELECT * FROM slabinfo_at WHERE tick = 42

-- /proc/slabinfo, a row a cache.
CREATE TABLE slabinfo (
    id INTEGER PRIMARY KEY,       -- tick << 24 | entity
    active_objs INTEGER,
    num_objs INTEGER,
    objsize_bytes INTEGER,
    objs_per_slab INTEGER,
    pages_per_slab INTEGER,
    active_slabs INTEGER,
    num_slabs INTEGER,
    slab_pages INTEGER GENERATED ALWAYS AS (num_slabs * pages_per_slab) VIRTUAL,
    active_bytes INTEGER GENERATED ALWAYS AS (active_objs * objsize_bytes) VIRTUAL,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

-- /proc/vmallocinfo, a row a caller (symbol without offset) and module.
CREATE TABLE vmallocinfo (
    id INTEGER PRIMARY KEY,
    areas INTEGER,                -- lines of this caller
    size_bytes INTEGER,           -- address space, guard pages included
    alloc_pages INTEGER,          -- pages that stand behind it; 0 for ioremap
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

-- /proc/zoneinfo, a row a zone.
CREATE TABLE zoneinfo (
    id INTEGER PRIMARY KEY,
    free_pages INTEGER,
    boost_pages INTEGER,
    min_pages INTEGER,
    low_pages INTEGER,
    high_pages INTEGER,
    promo_pages INTEGER,
    spanned_pages INTEGER,
    present_pages INTEGER,
    managed_pages INTEGER,
    cma_pages INTEGER,
    inactive_anon_pages INTEGER,
    active_anon_pages INTEGER,
    inactive_file_pages INTEGER,
    active_file_pages INTEGER,
    unevictable_pages INTEGER,
    write_pending_pages INTEGER,
    mlock_pages INTEGER,
    bounce_pages INTEGER,
    zspages_pages INTEGER,
    free_cma_pages INTEGER,
    pcp_count_pages INTEGER,      -- free pages on the per-CPU lists, summed: in no field of meminfo
    pcp_high_pages INTEGER,       -- summed
    pcp_batch_pages INTEGER,      -- largest
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

-- /proc/buddyinfo, a row a zone: free blocks of 2^order pages. Orders end where the kernel's do
-- (10 on x86, 13 on arm64 with 64 KiB pages); what a kernel lacks is NULL.
CREATE TABLE buddyinfo (
    id INTEGER PRIMARY KEY,
    free_order0 INTEGER, free_order1 INTEGER, free_order2 INTEGER, free_order3 INTEGER,
    free_order4 INTEGER, free_order5 INTEGER, free_order6 INTEGER, free_order7 INTEGER,
    free_order8 INTEGER, free_order9 INTEGER, free_order10 INTEGER, free_order11 INTEGER,
    free_order12 INTEGER, free_order13 INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

-- /proc/pagetypeinfo, a row a zone and migrate type.
CREATE TABLE pagetypeinfo (
    id INTEGER PRIMARY KEY,
    pageblocks INTEGER,           -- of this type; their size is the entity's label pages_per_block
    free_order0 INTEGER, free_order1 INTEGER, free_order2 INTEGER, free_order3 INTEGER,
    free_order4 INTEGER, free_order5 INTEGER, free_order6 INTEGER, free_order7 INTEGER,
    free_order8 INTEGER, free_order9 INTEGER, free_order10 INTEGER, free_order11 INTEGER,
    free_order12 INTEGER, free_order13 INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

-- /proc/swaps, a row a swap area.
CREATE TABLE swaps (
    id INTEGER PRIMARY KEY,
    size_kib INTEGER,
    used_kib INTEGER,
    priority INTEGER,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

-- /proc/PID/{statm,status,stat,fd}, a row a process.
CREATE TABLE process (
    id INTEGER PRIMARY KEY,
    rss_anon_kib INTEGER,
    rss_file_kib INTEGER,
    rss_shmem_kib INTEGER,
    vm_swap_kib INTEGER,
    vm_size_kib INTEGER,
    vm_pte_kib INTEGER,
    threads INTEGER,
    fds INTEGER,                  -- open descriptors; NULL where they may not be counted
    minor_faults INTEGER,
    major_faults INTEGER,
    cpu_ticks INTEGER,            -- user + system, in clock ticks
    state INTEGER,                -- the letter's ASCII code: char(state)
    rss_kib INTEGER GENERATED ALWAYS AS (rss_anon_kib + rss_file_kib + rss_shmem_kib) VIRTUAL,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    entity INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

-- The picture at a tick. max(id) makes SQLite take the other columns from that newest row; a newest
-- row of NULLs is an entity that is gone.

CREATE VIEW slabinfo_at AS
SELECT t.tick, x.entity, e.name, x.active_objs, x.num_objs, x.objsize_bytes, x.objs_per_slab,
       x.pages_per_slab, x.active_slabs, x.num_slabs, x.slab_pages, x.active_bytes,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN slabinfo x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'slabinfo')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.num_objs IS NOT NULL;

CREATE VIEW vmallocinfo_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.module' AS module, x.areas, x.size_bytes,
       x.alloc_pages,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN vmallocinfo x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'vmallocinfo')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.areas IS NOT NULL;

CREATE VIEW zoneinfo_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.node' AS node, x.free_pages, x.boost_pages,
       x.min_pages, x.low_pages, x.high_pages, x.promo_pages, x.spanned_pages, x.present_pages,
       x.managed_pages, x.cma_pages, x.inactive_anon_pages, x.active_anon_pages,
       x.inactive_file_pages, x.active_file_pages, x.unevictable_pages, x.write_pending_pages,
       x.mlock_pages, x.bounce_pages, x.zspages_pages, x.free_cma_pages, x.pcp_count_pages,
       x.pcp_high_pages, x.pcp_batch_pages,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN zoneinfo x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'zoneinfo')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.free_pages IS NOT NULL;

CREATE VIEW buddyinfo_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.node' AS node, x.free_order0, x.free_order1,
       x.free_order2, x.free_order3, x.free_order4, x.free_order5, x.free_order6, x.free_order7,
       x.free_order8, x.free_order9, x.free_order10, x.free_order11, x.free_order12, x.free_order13,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN buddyinfo x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'buddyinfo')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.free_order0 IS NOT NULL;

CREATE VIEW pagetypeinfo_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.node' AS node, e.labels ->> '$.zone' AS zone,
       e.labels ->> '$.migratetype' AS migratetype, x.pageblocks, x.free_order0, x.free_order1,
       x.free_order2, x.free_order3, x.free_order4, x.free_order5, x.free_order6, x.free_order7,
       x.free_order8, x.free_order9, x.free_order10, x.free_order11, x.free_order12, x.free_order13,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN pagetypeinfo x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'pagetypeinfo')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.free_order0 IS NOT NULL;

CREATE VIEW swaps_at AS
SELECT t.tick, x.entity, e.name, x.size_kib, x.used_kib, x.priority,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN swaps x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'swaps')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.size_kib IS NOT NULL;

CREATE VIEW process_at AS
SELECT t.tick, x.entity, e.name, e.labels ->> '$.pid' AS pid, e.labels ->> '$.ppid' AS ppid,
       e.labels ->> '$.uid' AS uid, e.labels ->> '$.exe' AS exe, x.rss_anon_kib, x.rss_file_kib,
       x.rss_shmem_kib, x.rss_kib, x.vm_swap_kib, x.vm_size_kib, x.vm_pte_kib, x.threads, x.fds,
       x.minor_faults, x.major_faults, x.cpu_ticks, char(x.state) AS state,
       max(x.id) >> 24 AS since_tick
FROM tick t
JOIN process x ON x.id >= (SELECT k.id >> 24 << 24 FROM sample k
                       WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1
                         AND k.source = (SELECT source FROM source WHERE name = 'process')
                       ORDER BY k.id DESC LIMIT 1)
          AND x.id < (t.tick + 1) << 24
JOIN entity e ON e.entity = x.entity
GROUP BY t.tick, x.entity
HAVING x.threads IS NOT NULL;
