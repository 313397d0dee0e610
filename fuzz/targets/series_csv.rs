//! The reader of series from CSV, plain and gzip, and the judgement of what it reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memsoak_analyze::series_csv::judge_csv;

fuzz_target!(|data: &[u8]| {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("memsoak-fuzz-{}.csv", std::process::id()));
    if std::fs::write(&path, data).is_ok() {
        let _ = judge_csv(&path, &mut |id, judgement| {
            let _ = (memsoak_schema::printable(id.as_bytes()), judgement.verdict);
        });
    }
});
