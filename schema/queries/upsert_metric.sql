INSERT INTO metric (source, name, unit, kind, trend, part_of) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (source, name) DO UPDATE SET unit = excluded.unit, kind = excluded.kind,
    trend = excluded.trend, part_of = excluded.part_of
RETURNING metric
