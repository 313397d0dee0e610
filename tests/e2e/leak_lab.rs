//! Each kind of the leak lab holds what it says, and leaves nothing behind.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::*;

/// Things a step: a prime number.
const COUNT: u64 = 7;

/// The number behind a key of /proc/PID/status.
fn status(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn lines(path: &str) -> u64 {
    fs::read_to_string(path).unwrap().lines().count() as u64
}

fn open_files(pid: u32, kind: &str) -> u64 {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
    targets.filter(|to| text(to).contains(kind)).count() as u64
}

/// The children of a process, with their states.
fn children(pid: u32) -> Vec<(u32, char)> {
    let all = fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let stats =
        pids.filter_map(|of| Some((of, fs::read_to_string(format!("/proc/{of}/stat")).ok()?)));
    stats
        .filter_map(|(of, stat)| {
            // The name may hold anything, so what follows is counted from its end.
            let mut rest = stat.rsplit_once(") ")?.1.split(' ');
            let state = rest.next()?.chars().next()?;
            (rest.next()? == pid.to_string()).then_some((of, state))
        })
        .collect()
}

/// How much of its thing a process of this kind holds, as the kernel tells it.
fn held(kind: &str, pid: u32) -> u64 {
    match kind {
        "anon" => status(pid, "RssAnon:") / 4,
        "page-tables" => status(pid, "VmPTE:") / 4,
        "threads" => status(pid, "Threads:"),
        "mmap" => lines(&format!("/proc/{pid}/maps")),
        "pipes" => open_files(pid, "pipe:") / 2,
        "fds" => open_files(pid, "[eventfd]"),
        "udp" => open_files(pid, "socket:"),
        "bpf-maps" => open_files(pid, "bpf-map"),
        "zombies" => children(pid)
            .iter()
            .filter(|(_, state)| *state == 'Z')
            .count() as u64,
        "memfd" => {
            let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            let paths = links.map(|link| link.unwrap().path());
            let mut memfds = paths.filter(|path| {
                fs::read_link(path).is_ok_and(|to| text(&to).starts_with("/memfd:"))
            });
            memfds
                .next()
                .map_or(0, |path| fs::metadata(path).unwrap().len() / 4096)
        }
        "shm-file" => {
            let file = fs::metadata(format!("/dev/shm/leak_lab-{pid}"));
            file.map_or(0, |file| file.len() / 4096)
        }
        "sysv-shm" => {
            let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
            let rows = table
                .lines()
                .map(|row| row.split_whitespace().collect::<Vec<_>>());
            // cpid is the fifth column, rss the fifteenth (ipc/shm.c, sysvipc_shm_proc_show).
            let own = rows.filter(|row| row[4] == pid.to_string());
            own.map(|row| row[14].parse::<u64>().unwrap() / 4096).sum()
        }
        "children" => {
            let child = children(pid).into_iter().find(|(_, state)| *state != 'Z');
            let kib = child.and_then(|(child, _)| {
                let text = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
                let line = text.lines().find(|line| line.starts_with("RssAnon:"))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            });
            kib.unwrap_or(0) / 4
        }
        _ => panic!("unknown kind {kind}"),
    }
}

#[test]
fn each_leak_holds_more_and_more_of_its_thing_until_its_input_ends() {
    let place = Place::new();
    for kind in [
        "anon",
        "mmap",
        "page-tables",
        "memfd",
        "shm-file",
        "sysv-shm",
        "pipes",
        "fds",
        "udp",
        "threads",
        "zombies",
        "children",
        "bpf-maps",
    ] {
        if kind == "bpf-maps" && !is_root() {
            skip("eBPF maps need root");
            continue;
        }
        let mut leak = start_leak_lab(&place, kind.as_bytes(), &[kind, &COUNT.to_string(), "20"]);
        let first = held(kind, leak.pid());
        wait_until(kind, || {
            assert!(leak.is_alive(), "{kind} ended: {}", leak.said());
            held(kind, leak.pid()) >= first + 5 * COUNT
        });
        let pid = leak.pid();
        assert_eq!(leak.close_input(), Some(0), "{kind}");
        if kind == "shm-file" || kind == "sysv-shm" {
            assert_eq!(held(kind, pid), 0, "{kind} left something behind");
        }
    }
}

#[test]
fn leaks_say_how_much_they_kept_and_innocents_have_nothing_to_say() {
    let usage = finish(leak_lab(&[])).expect(2).err();
    let (leaks, innocents) = usage.split_once("No leaks").unwrap();
    let kinds = |text: &str| -> Vec<String> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("  "));
        rows.map(|row| row.split(' ').next().unwrap().to_owned())
            .collect()
    };
    let (leaks, innocents) = (kinds(leaks), kinds(innocents));
    assert!(leaks.len() >= 13 && innocents.len() >= 12, "{usage}");
    let running: Vec<_> = [&leaks, &innocents]
        .into_iter()
        .flatten()
        .filter(|kind| *kind != "bpf-maps" || is_root())
        .map(|kind| {
            let mut command = leak_lab(&[kind, "3", "10", "1"]);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            (kind, command.spawn().unwrap())
        })
        .collect();
    for (kind, child) in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{kind}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{kind}");
        if leaks.contains(kind) {
            let kept = said
                .strip_prefix("kept ")
                .unwrap_or_else(|| panic!("{kind}: {said}"));
            let kept: u64 = kept.split(' ').next().unwrap().parse().unwrap();
            assert!(kept > 0 && kept.is_multiple_of(3), "{kind}: {said}");
        } else {
            assert_eq!(said, "", "{kind}");
        }
    }
}

#[test]
fn without_the_privilege_for_ebpf_it_says_what_it_needs() {
    if !is_root() {
        skip("root drops the privilege here");
        return;
    }
    let allowed = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
    if allowed.is_ok_and(|text| text.trim() == "0") {
        skip("everybody may make eBPF maps here");
        return;
    }
    let known = Command::new("setpriv").arg("--version").output();
    if !known.is_ok_and(|done| done.status.success()) {
        skip("there is no setpriv");
        return;
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--inh-caps=-all", "--bounding-set=-all"])
        .arg(leak_lab(&[]).get_program())
        .args(["bpf-maps", "1", "10", "1"]);
    let said = finish(command).expect(1).err();
    assert!(said.contains("needs CAP_BPF"), "{said}");
}
