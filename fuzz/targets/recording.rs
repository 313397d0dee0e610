//! The reader of recordings and the salvage on any file: the bytes themselves where they begin as an
//! SQLite file does, otherwise as changes to a recording that is valid.
//!
//! A change is six bytes: two for the page, two for the place in it, one for what is done, one for
//! the value.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use memsoak_analyze::{findings, info, salvage};
use memsoak_schema::Recording;

const VALID: &[u8] = include_bytes!("../seeds/recording/valid.db");
const PAGE: usize = 1024;

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let shared = PathBuf::from("/dev/shm");
        let base = if shared.is_dir() {
            shared
        } else {
            std::env::temp_dir()
        };
        let folder = base.join(format!("memsoak-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the files");
        folder
    })
}

fn changed(changes: &[u8]) -> Vec<u8> {
    let mut file = VALID.to_vec();
    let pages = file.len() / PAGE;
    for change in changes.chunks_exact(6) {
        let page = usize::from(u16::from_be_bytes([change[0], change[1]])) % pages;
        let at = page * PAGE + usize::from(u16::from_be_bytes([change[2], change[3]])) % PAGE;
        let value = change[5];
        match change[4] % 6 {
            0 => file[at] = value,
            1 => file[at] ^= 1 << (value % 8),
            2 => file[at] = file[at].wrapping_add(value),
            3 => {
                let from = usize::from(value) % pages * PAGE;
                file.copy_within(from..from + PAGE, page * PAGE);
            }
            4 => file[page * PAGE..(page + 1) * PAGE].fill(value),
            // A number of the page or its cells: small ones and page numbers do most.
            _ => {
                let end = (at + 4).min(file.len());
                file[at..end].fill(0);
                file[end - 1] = value;
            }
        }
    }
    file
}

fuzz_target!(|data: &[u8]| {
    let path = folder().join("fuzz.db");
    let out = folder().join("out.db");
    let file = if data.starts_with(b"SQLite format 3\0") {
        data.to_vec()
    } else {
        changed(data)
    };
    if std::fs::write(&path, file).is_err() {
        return;
    }
    let _ = info::describe(&path);
    if let Ok(recording) = Recording::open(&path) {
        let _ = findings::analyse(&recording, |_| {});
    }
    let _ = std::fs::remove_file(&out);
    if salvage::salvage(&path, &out, true).is_ok() {
        let recording = Recording::open(&out).expect("what was salvaged is a recording");
        findings::analyse(&recording, |_| {}).expect("and it is read");
    }
});
