-- The core of a recording: who was recorded, when, which sources there are and how each read went.
--
-- Rows that belong to a tick have the key  id = tick << 24 | what  (source, metric or entity).
-- They are appended in that order, so that a tick touches few pages, needs no secondary index, and
-- a range of ticks is a range of keys. The parts are generated columns: they take no room.

PRAGMA application_id = 0x6d736f6b; -- "msok"

CREATE TABLE host (
    host INTEGER PRIMARY KEY,
    machine TEXT NOT NULL,        -- hash of the machine id: the same machine, without saying which
    name ANY,                     -- node name
    arch TEXT
) STRICT;

CREATE TABLE boot (
    boot INTEGER PRIMARY KEY,
    host INTEGER NOT NULL REFERENCES host,
    boot_id TEXT NOT NULL,        -- /proc/sys/kernel/random/boot_id
    kernel TEXT,                  -- /proc/sys/kernel/osrelease
    version TEXT,                 -- /proc/version
    page_bytes INTEGER NOT NULL,
    user_hz INTEGER NOT NULL,     -- clock ticks a second in /proc/PID/stat
    cpus INTEGER
) STRICT;

CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL REFERENCES boot,
    program TEXT NOT NULL,        -- name and version of the recorder
    pid INTEGER NOT NULL,
    pid_start INTEGER NOT NULL,   -- start time of the recorder in clock ticks: tells a live run from a dead one
    uid INTEGER NOT NULL,
    started_us INTEGER NOT NULL,  -- CLOCK_BOOTTIME
    interval_us INTEGER NOT NULL,
    settings TEXT NOT NULL,       -- JSON: the options given
    labels TEXT NOT NULL,         -- JSON: --label K=V
    ended_us INTEGER,             -- NULL: still running, or killed
    end_reason TEXT
) STRICT;

CREATE TABLE tick (
    tick INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run,
    boottime_us INTEGER NOT NULL, -- CLOCK_BOOTTIME when it began: the axis of all trends
    late_us INTEGER NOT NULL,     -- after the planned moment
    missed INTEGER NOT NULL,      -- planned moments before this one that passed without a tick
    took_us INTEGER NOT NULL,     -- reading and writing, up to the commit
    cpu_us INTEGER NOT NULL       -- of the recorder, up to the commit
) STRICT;

-- Wall time = boottime_us + offset_us, from this tick on. A new row where the clock was set or has drifted.
CREATE TABLE wall_clock (
    tick INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL REFERENCES boot,
    offset_us INTEGER NOT NULL
) STRICT;

CREATE TABLE source (
    source INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    paths TEXT NOT NULL,          -- blank separated, relative to the root
    shape TEXT NOT NULL,          -- scalars or entities: the latter have a table of that name
    needs TEXT NOT NULL,
    caveats TEXT NOT NULL,
    overhead TEXT NOT NULL
) STRICT;

CREATE TABLE metric (
    metric INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source,
    name TEXT NOT NULL,           -- the kernel's key, or the column of the source's table
    unit TEXT NOT NULL,
    kind TEXT NOT NULL,           -- gauge or counter
    trend TEXT NOT NULL,          -- none, memory, count, total, reclaimable
    part_of TEXT NOT NULL,        -- source/key of the total that it is a part of, or empty
    UNIQUE (source, name)
) STRICT;

CREATE TABLE entity (
    entity INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source,
    boot INTEGER NOT NULL REFERENCES boot,
    first_tick INTEGER NOT NULL,
    name ANY NOT NULL,            -- TEXT, or BLOB where it is not UTF-8
    key ANY NOT NULL,             -- what identifies it within source and boot
    labels TEXT                   -- JSON
) STRICT;

-- At which interval a source is read, from this tick on, and why it was changed.
CREATE TABLE plan (
    tick INTEGER NOT NULL,
    source INTEGER NOT NULL REFERENCES source,
    interval_us INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (tick, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE reason (
    reason INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE sample (
    id INTEGER PRIMARY KEY,       -- tick << 24 | source
    status INTEGER NOT NULL,      -- 0 ok, 1 partial, 2 unavailable, 3 failed, 4 skipped
    keyframe INTEGER NOT NULL,    -- 1: every row of the source stands here, not only the changed ones
    read_us INTEGER,              -- NULL: not read
    bytes INTEGER,
    reason INTEGER REFERENCES reason,
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    source INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE TABLE scalar (
    id INTEGER PRIMARY KEY,       -- tick << 24 | metric
    value ANY,                    -- NULL: no longer there
    tick INTEGER GENERATED ALWAYS AS (id >> 24) VIRTUAL,
    metric INTEGER GENERATED ALWAYS AS (id & 0xffffff) VIRTUAL
) STRICT;

CREATE TABLE event (
    event INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL REFERENCES boot,
    boottime_us INTEGER NOT NULL,
    kind TEXT NOT NULL,           -- mark, renamed, clock_step, interval, run_start, run_end, ...
    source TEXT,
    text ANY NOT NULL,
    data TEXT                     -- JSON
) STRICT;

CREATE VIEW tick_wall AS
SELECT t.tick, t.run, r.boot, t.boottime_us, t.late_us, t.missed, t.took_us, t.cpu_us,
       strftime('%Y-%m-%dT%H:%M:%fZ', (t.boottime_us +
           (SELECT w.offset_us FROM wall_clock w
            WHERE w.boot = r.boot AND w.tick <= t.tick ORDER BY w.tick DESC LIMIT 1)) / 1e6,
           'unixepoch') AS wall
FROM tick t JOIN run r USING (run);

CREATE VIEW sample_at AS
SELECT p.tick, s.name AS source,
       CASE p.status WHEN 0 THEN 'ok' WHEN 1 THEN 'partial' WHEN 2 THEN 'unavailable'
                     WHEN 3 THEN 'failed' WHEN 4 THEN 'skipped' END AS status,
       p.keyframe, p.read_us, p.bytes, r.text AS reason
FROM sample p JOIN source s USING (source) LEFT JOIN reason r USING (reason);

-- Every key as it was at a tick:  SELECT * FROM scalar_at WHERE tick = 42 AND source = 'meminfo'
CREATE VIEW scalar_at AS
SELECT t.tick, s.name AS source, m.name, v.value, m.unit, max(v.id) >> 24 AS since_tick
FROM tick t
JOIN source s ON s.shape = 'scalars'
JOIN scalar v ON v.id >= (SELECT k.id >> 24 << 24 FROM sample k
                          WHERE k.id < (t.tick + 1) << 24 AND k.keyframe = 1 AND k.source = s.source
                          ORDER BY k.id DESC LIMIT 1)
             AND v.id < (t.tick + 1) << 24
JOIN metric m ON m.metric = v.metric AND m.source = s.source
GROUP BY t.tick, s.source, v.metric;
