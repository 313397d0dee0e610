INSERT INTO source (name, paths, shape, needs, caveats, overhead) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET paths = excluded.paths, needs = excluded.needs,
    caveats = excluded.caveats, overhead = excluded.overhead
RETURNING source
