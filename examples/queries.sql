-- Questions to a recording, for `sqlite3 -box soak.db`. Copy one, change the tick or the name in it.
--
-- NAME_at is the picture of a source at a tick; the time of each tick stands in tick_wall.
-- In pages: boot.page_bytes is the size of one. In KiB: what the kernel calls kB.

-- Which tick is it that was taken last before an instant (here: the last of all)?
SELECT tick, wall, late_us, missed FROM tick_wall
WHERE wall <= '9999-12-31T03:10:00Z'
ORDER BY tick DESC LIMIT 1;

-- What did slabtop show at that tick?
SELECT name, active_objs, num_objs, 100 * active_objs / nullif(num_objs, 0) AS use_percent,
       objsize_bytes, num_slabs, slab_pages * (SELECT page_bytes FROM boot LIMIT 1) / 1024 AS slab_kib
FROM slabinfo_at
WHERE tick = (SELECT max(tick) FROM tick)
ORDER BY slab_kib DESC LIMIT 20;

-- Which slab caches grew most between the first and the last tick?
SELECT b.name, b.num_objs - a.num_objs AS more_objs, b.slab_pages - a.slab_pages AS more_pages,
       b.active_bytes - a.active_bytes AS more_bytes
FROM slabinfo_at a JOIN slabinfo_at b USING (entity)
WHERE a.tick = (SELECT min(tick) FROM tick) AND b.tick = (SELECT max(tick) FROM tick)
ORDER BY more_pages DESC, more_bytes DESC LIMIT 20;

-- Which processes have most descriptors open now?
SELECT pid, name, fds, threads, rss_anon_kib, vm_swap_kib
FROM process_at
WHERE tick = (SELECT max(tick) FROM tick) AND fds IS NOT NULL
ORDER BY fds DESC LIMIT 20;

-- How many free blocks of each order did each zone have over time?
SELECT w.wall, e.name AS zone, x.free_order0, x.free_order3, x.free_order6, x.free_order9
FROM buddyinfo x JOIN entity e USING (entity) JOIN tick_wall w USING (tick)
WHERE x.id BETWEEN 1 << 24 AND 1000 << 24
ORDER BY x.id;

-- What does recording itself cost, a tick and of one CPU?
SELECT run, count(*) AS ticks, sum(missed) AS missed, avg(took_us) AS mean_took_us,
       avg(cpu_us) AS mean_cpu_us,
       100.0 * sum(cpu_us) / nullif(max(boottime_us) - min(boottime_us), 0) AS cpu_percent
FROM tick GROUP BY run;

-- Which sources are slow to read, and which were denied, and why?
SELECT source, status, count(*) AS reads, avg(read_us) AS mean_us, max(read_us) AS worst_us,
       sum(bytes) AS bytes, reason
FROM sample_at GROUP BY source, status, reason
ORDER BY mean_us DESC;

-- Which processes were born and have died since the recording began, and how big had they become?
SELECT e.labels ->> '$.pid' AS pid, e.name, e.first_tick, max(x.tick) AS last_tick,
       max(x.rss_anon_kib) AS most_anon_kib, max(x.fds) AS most_fds
FROM process x JOIN entity e USING (entity)
WHERE x.id BETWEEN 0 AND 1000000 << 24 AND e.first_tick > (SELECT min(tick) FROM tick)
GROUP BY e.entity
HAVING sum(x.threads IS NULL) > 0
ORDER BY most_anon_kib DESC;

-- How many free pages wait on the per-CPU lists of each zone, and how near is it to its watermarks?
SELECT node, name AS zone, free_pages, pcp_count_pages, pcp_high_pages, min_pages, low_pages,
       high_pages, managed_pages
FROM zoneinfo_at
WHERE tick = (SELECT max(tick) FROM tick);

-- Who holds vmalloc space at a tick?
SELECT name AS caller, module, areas, size_bytes,
       alloc_pages * (SELECT page_bytes FROM boot LIMIT 1) AS memory_bytes
FROM vmallocinfo_at
WHERE tick = (SELECT max(tick) FROM tick)
ORDER BY memory_bytes DESC, size_bytes DESC LIMIT 20;

-- Which marks were set, and which tick came first after each?
SELECT e.text AS mark,
       (SELECT min(t.tick) FROM tick t JOIN run r USING (run)
        WHERE r.boot = e.boot AND t.boottime_us >= e.boottime_us) AS tick
FROM event e
WHERE e.kind = 'mark'
ORDER BY e.boot, e.boottime_us;
