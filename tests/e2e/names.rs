//! Names that processes choose to harm whoever reads them.

use crate::support::*;

/// Bytes that steer a terminal or break a line.
fn steers(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .any(|&byte| (byte < 0x20 && byte != b'\n') || byte == 0x7f)
}

#[test]
fn hostile_names_are_kept_whole_and_printed_harmless() {
    let place = Place::new();
    let db = place.file("soak.db");
    let names: [&[u8]; 4] = [
        b"a\n# memsoak: ok",
        b"\x1b[31m\x1b[2J",
        b"\xff\xfe\x80|`<b>",
        b"x\r\x07\x08y\x7f",
    ];
    let running: Vec<_> = names
        .iter()
        .map(|name| start_leak_lab(&place, name, &["anon", "61", "20"]))
        .collect();
    record_for(
        &db,
        "6s",
        &["--label", "note=\u{1b}[31m", "--every", "process=100ms"],
    );

    // As bytes they are what they were: TEXT where they are UTF-8, BLOB where they are not.
    for (name, process) in names.iter().zip(&running) {
        let kept: Vec<u8> = ask(
            &db,
            &format!(
                "SELECT CAST(name AS BLOB) FROM entity WHERE labels ->> '$.pid' = {}",
                process.pid()
            ),
        );
        assert_eq!(&kept, name);
    }
    let mark = "stage\n\u{1b}[2J\u{202e}two";
    finish(record(&["mark", "--db", &db, mark])).expect(0);

    let (json, markdown, done) = report(&place, &db);
    let mut outputs = vec![
        ("report.md", markdown.clone().into_bytes()),
        ("report", done.stdout),
        ("report's words", done.stderr),
    ];
    for args in [
        vec!["info", &db],
        vec!["trends", &db],
        vec!["trends", &db, "--all"],
        vec!["trends", &db, "--json"],
        vec!["trends", &db, "--explain", "process/\u{1b}[31m"],
    ] {
        let done = finish(analyze(&args));
        outputs.push(("analyze", done.stdout));
        outputs.push(("analyze's words", done.stderr));
    }
    let status = finish(record(&["status", "--db", &db])).expect(0);
    outputs.push(("status", status.stdout));
    for (what, bytes) in &outputs {
        assert!(!steers(bytes), "{what}: {}", bytes.escape_ascii());
        let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!text.contains('\u{202e}'), "{what}: {text}");
    }
    // No name makes a heading of its own.
    assert!(!markdown.contains("\n# memsoak: ok"), "{markdown}");
    let text = json.to_string();
    assert!(
        !text.contains("\\u001b"),
        "report.json is printed by scripts too"
    );
    // In its harmless form each is there to be read.
    let trends = finish(analyze(&["trends", &db, "--json"])).out();
    for name in ["a\\\\n# memsoak: ok[", "\\\\xff\\\\xfe\\\\x80|`<b>["] {
        assert!(trends.contains(name), "{name}: {trends}");
    }
}

#[test]
fn names_of_files_are_printed_harmless() {
    let place = Place::new();
    let db = place.file("missing\u{1b}[31m.db");
    for command in [analyze(&["info", &db]), record(&["status", "--db", &db])] {
        let done = finish(command).expect(2);
        assert!(!steers(&done.stderr), "{}", done.err());
    }
}
