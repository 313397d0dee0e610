//! Recordings made of captures: of every kernel that was captured, and of what is no capture.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use memsoak_record::source::SOURCES;
use memsoak_record::source::captured::Kept;

use crate::small_disk::SmallDisk;
use crate::support::*;

fn captured(name: &str) -> PathBuf {
    repo().join("tests/fixtures/captures").join(name)
}

fn import(db: &str, folders: &[&Path]) -> Done {
    let mut command = record(&["import", "--db", db]);
    command.args(folders);
    finish(command)
}

/// The folders of a machine's captures, in order.
fn moments(machine: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(machine)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("proc").is_dir())
        .collect();
    found.sort();
    found
}

/// A number behind a key in a file of lines.
fn number_in(path: &Path, key: &str) -> i64 {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let words = line.unwrap_or_else(|| panic!("{}: no {key}", path.display()));
    words
        .split_whitespace()
        .next()
        .unwrap()
        .trim_matches('"')
        .parse()
        .unwrap()
}

fn near(what: &str, one: i64, other: i64, tolerance: i64) {
    let off = (one - other).abs();
    assert!(
        off <= tolerance,
        "{what}: {one} and {other} differ by {off}"
    );
}

/// What a tick holds is what its capture says, and the sums of the parts are the totals.
fn a_tick_is_as_its_capture(db: &str, name: &str, tick: usize, capture: &Path, page_kib: i64) {
    let meminfo = |key: &str| {
        let told = number_in(&capture.join("proc/meminfo"), &format!("{key}:"));
        let recorded: i64 = ask(
            db,
            &format!(
                "SELECT value FROM scalar_at
                 WHERE tick = {tick} AND source = 'meminfo' AND name = '{key}'"
            ),
        );
        assert_eq!(recorded, told, "{name} {tick} {key}");
        told
    };
    let (total, free, slab) = (meminfo("MemTotal"), meminfo("MemFree"), meminfo("Slab"));
    let sum = |of: &str, from: &str| -> i64 {
        let sql = format!("SELECT coalesce(sum({of}), -1) FROM {from}_at WHERE tick = {tick}");
        ask(db, &sql)
    };
    // Objects too large for a cache are in Slab and in no line of slabinfo: a fifth with large pages.
    near(
        name,
        sum("slab_pages", "slabinfo") * page_kib,
        slab,
        slab / 5,
    );
    let orders: Vec<String> = (0..14)
        .map(|order| format!("coalesce(free_order{order}, 0) * {}", 1 << order))
        .collect();
    let in_blocks = sum(&orders.join(" + "), "buddyinfo") * page_kib;
    let in_zones = sum("free_pages", "zoneinfo") * page_kib;
    near(name, in_blocks, in_zones, total / 50);
    // A host can have taken free memory back from a virtual machine.
    if sum("managed_pages", "zoneinfo") * page_kib > total * 9 / 10 {
        near(name, in_blocks, free, total / 50);
    }
}

#[test]
fn captures_of_every_kernel_become_recordings_that_tell_the_state_of_each_source() {
    let place = Place::new();
    let mut machines = 0;
    for entry in fs::read_dir(captured("")).unwrap() {
        let machine = entry.unwrap().path();
        if !machine.is_dir() {
            continue;
        }
        machines += 1;
        let name = machine.file_name().unwrap().to_str().unwrap().to_owned();
        let db = place.file(&format!("{name}.db"));
        import(&db, &[&machine]).expect(0);
        let manifest = machine.join("MANIFEST.toml");
        let page_bytes = number_in(&manifest, "page_bytes =");
        assert_eq!(
            ask::<i64>(&db, "SELECT page_bytes FROM boot"),
            page_bytes,
            "{name}"
        );
        assert_eq!(ask::<i64>(&db, "SELECT user_hz FROM boot"), 100, "{name}");
        let arch: String = ask(&db, "SELECT arch FROM host");
        let told = fs::read_to_string(&manifest).unwrap();
        assert!(
            told.contains(&format!("arch = \"{arch}\"")),
            "{name}: {arch}"
        );
        let moments = moments(&machine);
        assert_eq!(ticks(&db), i64::try_from(moments.len()).unwrap(), "{name}");
        for (at, capture) in moments.iter().enumerate() {
            a_tick_is_as_its_capture(&db, &name, at + 1, capture, page_bytes / 1024);
        }

        let info = finish(analyze(&["info", &db])).expect(0).out();
        let (json, _, _) = report(&place, &db);
        for source in SOURCES {
            let source_name = source.spec.name;
            let entry = coverage(&json, source_name);
            let kept = source.kept();
            // A whole file of it in the last capture: what there is, is recorded.
            let path = kept.first().map(|kept| kept.pattern());
            let is_there = path
                .filter(|path| !path.contains(['*', 'P']))
                .map(|path| moments.last().unwrap().join(path).is_file());
            if is_there == Some(true) {
                assert_eq!(entry["status"], "ok", "{name} {entry}");
            } else if is_there == Some(false) || kept.is_empty() {
                assert_eq!(entry["status"], "unavailable", "{name} {entry}");
                let reason = entry["reason"].as_str().unwrap();
                assert!(reason.contains("not in "), "{name} {entry}");
                assert!(info.contains(reason), "{info}");
            }
            assert_ne!(entry["status"], "failed", "{name} {entry}");
        }
        assert_eq!(coverage(&json, "process")["status"], "ok", "{name}");
    }
    assert!(machines >= 8);
}

#[test]
fn importing_twice_gives_the_same_file() {
    let place = Place::new();
    let machine = captured("6.12-arm64-16k");
    let (one, other) = (place.file("one.db"), place.file("other.db"));
    import(&one, &[&machine]).expect(0);
    import(&other, &[&machine]).expect(0);
    assert!(fs::read(one).unwrap() == fs::read(other).unwrap());
}

/// A capture by hand: a real one's meminfo, with a boot id and a time of its own.
fn shot(place: &Place, name: &str, boot: &str, uptime: &str, more: &[(&str, &str)]) -> PathBuf {
    let folder = place.path().join(name);
    let meminfo = fs::read_to_string(captured("6.12-x86_64-debian/t0/proc/meminfo")).unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("proc/meminfo", &meminfo);
    put("proc/uptime", &format!("{uptime} 1.00\n"));
    if !boot.is_empty() {
        put("proc/sys/kernel/random/boot_id", &format!("{boot}\n"));
    }
    for (path, text) in more {
        put(path, text);
    }
    folder
}

fn boots(db: &str) -> Vec<String> {
    list(
        db,
        "SELECT boot_id || ' ' || group_concat(boottime_us / 10000)
         FROM (SELECT * FROM tick JOIN run USING (run) JOIN boot USING (boot) ORDER BY tick)
         GROUP BY boot ORDER BY boot",
    )
}

#[test]
fn captures_of_a_board_that_rebooted_are_of_two_boots() {
    let place = Place::new();
    let folders = [
        shot(&place, "series/000001", "first", "60.25", &[]),
        shot(&place, "series/000003", "first", "180.50", &[]),
        shot(&place, "series/000002", "first", "120.00", &[]),
        shot(&place, "series/000004", "second", "90.00", &[]),
        shot(&place, "series/.part", "second", "99.00", &[]),
    ];
    let db = place.file("named.db");
    import(&db, &[&place.path().join("series")]).expect(0);
    assert_eq!(boots(&db), ["first 6025,12000,18050", "second 9000"]);
    // Within a boot the clock says the order, not the names.
    let db = place.file("mixed.db");
    let reversed: Vec<&Path> = folders[..3].iter().rev().map(PathBuf::as_path).collect();
    import(&db, &reversed).expect(0);
    assert_eq!(boots(&db), ["first 6025,12000,18050"]);

    // Without boot ids the time that goes back says it, and that is told.
    for (at, uptime) in ["60.00", "120.00", "90.00", "150.00"].iter().enumerate() {
        shot(&place, &format!("unnamed/{at}"), "", uptime, &[]);
    }
    let db = place.file("unnamed.db");
    let done = import(&db, &[&place.path().join("unnamed")]).expect(0);
    assert_eq!(boots(&db), ["captured 6000,12000", "captured-2 9000,15000"]);
    assert!(
        done.err().contains("time since boot goes back"),
        "{}",
        done.err()
    );
    let info = finish(analyze(&["info", &db])).expect(0).out();
    assert!(
        info.contains("4 taken, 0 missed, in 2 runs and 2 boots"),
        "{info}"
    );
}

#[test]
fn what_the_kernel_said_in_a_series_is_told_once_at_its_time() {
    let place = Place::new();
    let logs = repo().join("tests/fixtures/logs/6.1-x86_64-pageowner-oom.kmsg");
    let log = fs::read_to_string(logs).unwrap();
    let stamp = |line: &str| line.split(',').nth(2).unwrap().parse::<f64>().unwrap() / 1e6;
    let uptime = format!("{:.2}", stamp(log.lines().next_back().unwrap()) + 10.0);
    let before = format!("{:.2}", stamp(log.lines().next().unwrap()) - 1.0);
    shot(&place, "s/1", "b", &before, &[("dev/kmsg", "")]);
    shot(&place, "s/2", "b", &uptime, &[("dev/kmsg", &log)]);
    shot(&place, "s/3", "b", "9999.00", &[("dev/kmsg", &log)]);
    let db = place.file("soak.db");
    import(&db, &[&place.path().join("s")]).expect(0);
    let kills: i64 = ask(&db, "SELECT count(*) FROM event WHERE kind = 'oom_kill'");
    let logged = log.matches(" invoked oom-killer: ").count();
    assert_eq!(usize::try_from(kills), Ok(logged));
    assert!(logged > 0);
    let between: i64 = ask(
        &db,
        "SELECT count(*) FROM event WHERE source IS NOT NULL AND boottime_us
         BETWEEN (SELECT boottime_us FROM tick WHERE tick = 1)
             AND (SELECT boottime_us FROM tick WHERE tick = 2)",
    );
    let all: i64 = ask(&db, "SELECT count(*) FROM event WHERE source IS NOT NULL");
    assert_eq!(between, all);
    let (json, _, _) = report(&place, &db);
    let events = json["events"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["kind"] == "oom_kill"),
        "{events:?}"
    );
}

#[test]
fn a_series_may_have_more_captures_than_files_may_be_open() {
    let place = Place::new();
    for at in 1..=200 {
        shot(&place, &format!("s/{at:06}"), "b", &format!("{at}.00"), &[]);
    }
    let db = place.file("soak.db");
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"])
        .arg(record(&[]).get_program())
        .args(["import", "--db", &db])
        .arg(place.path().join("s"));
    finish(command).expect(0);
    assert_eq!(ticks(&db), 200);
}

#[test]
fn the_date_of_a_capture_is_as_good_as_its_clock() {
    let place = Place::new();
    let time = |text: &'static str| ("MANIFEST.toml", text);
    // Two whole seconds around one instant are no step of the clock; an hour is.
    for (name, uptime, manifest) in [
        ("d/1", "10.90", "time = \"2026-01-01T00:00:10Z\"\n"),
        ("d/2", "20.10", "time = \"2026-01-01T00:00:20Z\"\n"),
        ("d/3", "30.00", "time = \"2026-01-01T01:00:30Z\"\n"),
    ] {
        shot(&place, name, "b", uptime, &[time(manifest)]);
    }
    let db = place.file("soak.db");
    import(&db, &[&place.path().join("d")]).expect(0);
    let midnight = 1_767_225_600_000_000_i64;
    assert_eq!(
        list(
            &db,
            "SELECT tick || ' ' || offset_us FROM wall_clock ORDER BY tick"
        ),
        [
            format!("1 {}", midnight - 900_000),
            format!("3 {}", midnight + 3_600_000_000)
        ]
    );
}

#[test]
fn what_is_no_capture_is_refused_and_nothing_is_left() {
    let place = Place::new();
    let db = place.file("soak.db");
    let one = shot(&place, "one", "a", "1.00", &[]);
    let same = shot(&place, "same", "a", "1.00", &[]);
    let arm = shot(
        &place,
        "arm",
        "a",
        "2.00",
        &[("MANIFEST.toml", "page_bytes = 16384\n")],
    );
    let broken = shot(
        &place,
        "broken",
        "a",
        "3.00",
        &[("MANIFEST.toml", "page_bytes = x\n")],
    );
    let empty = place.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for (folders, words) in [
        (vec![empty.as_path()], "is no capture and has none in it"),
        (
            vec![Path::new("/nowhere/at/all")],
            "cannot read /nowhere/at/all",
        ),
        (vec![Path::new("/")], "is a running machine"),
        (vec![&one, &same], "of the same instant"),
        (vec![&one, &arm], "different machines"),
        (vec![&broken], "line 1: no number"),
    ] {
        let done = import(&db, &folders).expect(2);
        assert!(done.err().contains(words), "{words}: {}", done.err());
        assert!(!Path::new(&db).exists(), "{words}");
    }
    fs::write(&db, "mine").unwrap();
    let done = import(&db, &[&one]).expect(2);
    assert!(done.err().contains("name a new file"), "{}", done.err());
    assert_eq!(fs::read(&db).unwrap(), b"mine");
}

/// The shells that are here, as a command each.
fn shells() -> Vec<Vec<&'static str>> {
    let mut found = vec![vec!["sh"]];
    for shell in [vec!["dash"], vec!["busybox", "sh"]] {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).args(["-c", "exit 0"]);
        if command.output().is_ok_and(|done| done.status.success()) {
            found.push(shell);
        } else {
            skip(&format!("{} is not here", shell[0]));
        }
    }
    found
}

fn script() -> PathBuf {
    repo().join("examples/capture.sh")
}

#[test]
fn captures_by_a_shell_are_imported_with_what_it_can_read() {
    let place = Place::new();
    let folder = place.path().join("series");
    let mut taken = 0;
    for shell in shells() {
        let mut command = Command::new(shell[0]);
        command
            .args(&shell[1..])
            .arg(script())
            .arg(&folder)
            .args(["0", "2"]);
        let done = finish(command).expect(0);
        assert_eq!(done.err(), "", "{shell:?}");
        taken += 2;
    }
    let names: Vec<_> = moments(&folder)
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let expected: Vec<_> = (1..=taken).map(|number| format!("{number:06}")).collect();
    assert_eq!(names, expected, "it goes on behind the last one");

    let db = place.file("soak.db");
    let live = place.file("live.db");
    let done = import(&db, &[&folder]).expect(0);
    assert!(!done.err().contains("level=warn"), "{}", done.err());
    assert_eq!(ticks(&db), taken);
    record_for(&live, "300ms", &[]);
    let own = "SELECT boot_id || page_bytes || user_hz FROM boot";
    assert_eq!(ask::<String>(&db, own), ask::<String>(&live, own));
    let has_values = |db: &str| -> BTreeSet<String> {
        let sql = "SELECT DISTINCT source FROM sample_at WHERE status IN ('ok', 'partial')";
        list(db, sql).into_iter().collect()
    };
    let there = has_values(&live);
    for source in SOURCES {
        let name = source.spec.name;
        if source
            .kept()
            .iter()
            .all(|kept| matches!(kept, Kept::Log(_)))
        {
            assert!(!has_values(&db).contains(name), "{name}");
            continue;
        }
        assert_eq!(
            has_values(&db).contains(name),
            there.contains(name),
            "{name}"
        );
    }
    let fds: i64 = ask(
        &db,
        "SELECT count(*) FROM process_at WHERE tick = 1 AND pid = 1 AND fds > 0",
    );
    assert_eq!(
        fds,
        i64::from(is_root()),
        "descriptors are counted, or NULL"
    );
}

/// Whether a shell's pattern, in which `*` stands for any part of a name, names all that another does.
fn covers(pattern: &str, other: &str) -> bool {
    let fits = |part: &str, other: &str| match part.split_once('*') {
        None => part == other,
        Some((begin, end)) => {
            other.len() >= begin.len() + end.len()
                && other.starts_with(begin)
                && other.ends_with(end)
        }
    };
    let (parts, others) = (pattern.split('/'), other.split('/'));
    parts.clone().count() == others.clone().count()
        && parts.zip(others).all(|(part, other)| fits(part, other))
}

#[test]
fn the_shell_captures_what_every_source_keeps() {
    let text = fs::read_to_string(script()).unwrap();
    let words: Vec<&str> = text.split([' ', '\n', '"', '\'']).collect();
    for source in SOURCES {
        for kept in source.kept() {
            let pattern = kept.pattern();
            let is_there = if let Some((_, file)) = pattern.split_once("**/memory.") {
                words.contains(&file)
            } else if let Some(file) = pattern.strip_prefix("proc/PID/") {
                words.contains(&format!("$of/{file}").as_str())
            } else {
                words.iter().any(|word| covers(word, pattern))
            };
            // `cat` follows a link, and waits for the next record of the log.
            let is_beyond_cat = matches!(kept, Kept::Link(_) | Kept::Log(_));
            assert_ne!(is_there, is_beyond_cat, "{}: {pattern}", source.spec.name);
        }
    }
}

#[test]
fn a_full_disk_ends_the_shells_captures_and_leaves_no_half_one() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place, "4m") else {
        return;
    };
    let series = disk.path().join("series");
    let mut command = Command::new("sh");
    command.arg(script()).arg(&series).args(["0", "100"]);
    let done = finish(command);
    let left: Vec<_> = fs::read_dir(&series)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(done.code, Some(1), "{}", done.err());
    assert!(done.err().contains("cannot write"), "{}", done.err());
    assert!(left.iter().all(|name| name.len() == 6), "{left:?}");
    if !left.is_empty() {
        let db = place.file("soak.db");
        import(&db, &[&series]).expect(0);
        let sql = "SELECT count(*) FROM sample_at WHERE source = 'meminfo' AND status = 'ok'";
        assert_eq!(
            ask::<i64>(&db, sql),
            ticks(&db),
            "each that is left is whole"
        );
    }
}
