//! Files that really hang: a file system in user space whose server never answers.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use crate::support::*;

/// Runs the test of a name once more in a mount namespace of its own, where it may mount.
fn in_own_namespace(test: &str) {
    if !Path::new("/dev/fuse").exists() {
        return skip("this machine has no /dev/fuse");
    }
    let may = Command::new("unshare").args(["-m", "true"]).output();
    if !may.is_ok_and(|done| done.status.success()) {
        return skip("may not mount here");
    }
    let done = Command::new("unshare")
        .args(["-m", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("MEMSOAK_MAY_MOUNT", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}");
}

#[test]
fn a_file_system_that_never_answers_costs_its_source_and_nothing_else() {
    if std::env::var_os("MEMSOAK_MAY_MOUNT").is_none() {
        in_own_namespace(
            "blocked::a_file_system_that_never_answers_costs_its_source_and_nothing_else",
        );
        return;
    }
    let place = Place::new();
    let db = place.file("soak.db");
    // A machine whose /proc/pressure hangs and whose other files are those of the running one.
    let root = place.file("root");
    fs::create_dir_all(format!("{root}/proc/pressure")).unwrap();
    fs::create_dir_all(format!("{root}/proc/sys/kernel/random")).unwrap();
    for file in ["meminfo", "vmstat", "loadavg", "sys/kernel/random/boot_id"] {
        let text = fs::read(format!("/proc/{file}")).unwrap();
        fs::write(format!("{root}/proc/{file}"), text).unwrap();
    }
    let fuse = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .unwrap();
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        fuse.as_raw_fd()
    );
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount(
        "hangs",
        format!("{root}/proc/pressure"),
        "fuse",
        rustix::mount::MountFlags::empty(),
        options.as_c_str(),
    )
    .unwrap();

    let recorder = start_recording(&place, &db, &["--root", &root]);
    wait_for_ticks(&db, 10);
    let of = |source: &str| {
        list(
            &db,
            &format!(
                "SELECT DISTINCT sample.status || ': ' || coalesce(reason.text, '')
                 FROM sample JOIN source USING (source) LEFT JOIN reason USING (reason)
                 WHERE source.name = '{source}'"
            ),
        )
    };
    let why = "a read of proc/pressure/memory blocks: no answer within 1s";
    let hung = of("pressure");
    assert!(hung.len() == 1 && hung[0].ends_with(why), "{hung:?}");
    assert_eq!(of("meminfo").len(), 1);
    let status = finish(record(&["status", "--db", &db])).expect(0).out();
    assert!(status.contains(why), "{status}");

    // The server's end frees whoever waits for it.
    drop(fuse);
    loop {
        let events = list(&db, "SELECT text FROM event WHERE kind = 'unblocked'");
        if !events.is_empty() {
            let text = "pressure: the read of proc/pressure/memory came back after";
            assert!(events[0].starts_with(text), "{events:?}");
            break;
        }
        wait_for_ticks(&db, 1);
    }
    assert_eq!(recorder.terminate(), Some(0));
}
