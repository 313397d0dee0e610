//! What the analyzer makes of a recording whose structure is whole and whose numbers are not: values
//! that no kernel gives, in any table. The digests are left out, so that nothing is set aside.
//!
//! A change is 13 bytes: one for the table, three for the row, one for the column, eight for the
//! number. The first byte of all says what is done with the recording: judged, shown, or, where it is 0,
//! reported with charts.
#![no_main]

#[path = "../../tests/support/made_up_soak/mod.rs"]
mod made_up_soak;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use made_up_soak::Soak;
use memsoak_analyze::show::{self, Ask};
use memsoak_analyze::{findings, report};
use memsoak_schema::Recording;
use rusqlite::Connection;

/// The names of a table, its columns, and its number of rows.
struct Table {
    name: String,
    columns: Vec<String>,
    rows: u32,
}

struct Base {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
    tables: Vec<Table>,
    processes: Vec<i64>,
}

impl Base {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn strings(db: &Connection, sql: &str, of: &str) -> Vec<String> {
    let mut statement = db.prepare(sql).expect("our own statement");
    let parameters: &[&str] = if of.is_empty() { &[] } else { &[of] };
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(0));
    rows.expect("it runs")
        .map(|name| name.expect("a text"))
        .collect()
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() {
            tempfile::tempdir_in(shared)
        } else {
            tempfile::tempdir()
        };
        let folder = folder.expect("a folder for the files");
        let path = folder.path().join("base.db");
        let soak = Soak {
            ticks: 40,
            processes: 3,
            interval_s: 60,
            leak_kib_per_hour: 4096,
            seed: 1,
            most_bytes: None,
        };
        made_up_soak::write(&path, &soak).expect("a recording");
        let db = Connection::open(&path).expect("it opens");
        db.execute_batch("PRAGMA journal_mode = DELETE; UPDATE sample SET digest = NULL")
            .expect("without digests");
        let tables = strings(
            &db,
            "SELECT name FROM sqlite_schema WHERE type = 'table'",
            "",
        );
        let tables = tables.into_iter().filter_map(|name| {
            let columns = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 AND pk = 0";
            let columns = strings(&db, columns, &name);
            let count = format!("SELECT count(*) FROM {name}");
            let rows = db.query_row(&count, [], |row| row.get(0)).expect("a count");
            (rows > 0 && !columns.is_empty()).then_some(Table {
                name,
                columns,
                rows,
            })
        });
        let tables = tables.collect();
        let pids = strings(
            &db,
            "SELECT DISTINCT CAST(json_extract(labels, '$.pid') AS TEXT) \
             FROM entity WHERE json_extract(labels, '$.pid') IS NOT NULL",
            "",
        );
        db.close().expect("closed");
        Base {
            bytes: std::fs::read(&path).expect("just written"),
            processes: pids.iter().filter_map(|pid| pid.parse().ok()).collect(),
            folder,
            tables,
        }
    })
}

fn change(db: &Connection, change: &[u8], tables: &[Table]) -> Option<()> {
    let table = &tables[usize::from(change[0]) % tables.len()];
    let row = u32::from_be_bytes([0, change[1], change[2], change[3]]) % table.rows;
    let column = &table.columns[usize::from(change[4]) % table.columns.len()];
    let number = i64::from_be_bytes(change[5..13].try_into().ok()?);
    let name = &table.name;
    // A third of the numbers are not whole.
    let value = if change[0] % 3 == 0 {
        f64::from_bits(number.cast_unsigned()).into()
    } else {
        rusqlite::types::Value::Integer(number)
    };
    let sql = format!(
        "UPDATE {name} SET {column} = ?1 WHERE rowid = (SELECT rowid FROM {name} LIMIT 1 OFFSET ?2)"
    );
    // What a constraint refuses stays as it was.
    db.execute(&sql, (value, row)).ok().map(drop)
}

fuzz_target!(|data: &[u8]| {
    let base = base();
    let Some((kind, changes)) = data.split_first() else {
        return;
    };
    let path = base.path("values.db");
    std::fs::write(&path, &base.bytes).expect("room for the file");
    {
        let db = Connection::open(&path).expect("it opens");
        db.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; BEGIN")
            .expect("a transaction");
        for bytes in changes.chunks_exact(13) {
            let _ = change(&db, bytes, &base.tables);
        }
        db.execute_batch("COMMIT").expect("it ends");
    }
    // One of the things that people do with a recording: each reads all of it.
    let ask = Ask {
        sort: None,
        pid: base.processes.first().copied(),
    };
    let Ok(recording) = Recording::open(&path) else {
        return;
    };
    let view = show::VIEWS[usize::from(kind >> 2) % show::VIEWS.len()].name;
    match kind % 4 {
        0 if kind >> 2 == 0 => drop(report::write(&path, None, &base.path("report"), |_| {})),
        0 | 1 => drop(findings::analyse(&recording, |_| {})),
        2 => drop(show::show(&recording, view, None, &ask)),
        _ => drop(show::diff(&recording, view, "+20m", "-0s", &ask)),
    }
});
