//! The questions of `examples/queries.sql`, asked of a recording.

use std::fs;

use rusqlite::Connection;

use crate::support::*;

struct Question {
    words: String,
    sql: String,
}

/// Each question is a comment, and ends with the semicolon of its statement.
fn questions() -> Vec<Question> {
    let text = fs::read_to_string(repo().join("examples/queries.sql")).unwrap();
    text.split("\n\n-- ")
        .skip(1)
        .map(|part| {
            let (words, _) = part.split_once('\n').unwrap();
            Question {
                words: words.to_owned(),
                sql: format!("-- {}", part.trim()),
            }
        })
        .collect()
}

fn rows(db: &Connection, sql: &str) -> usize {
    let mut statement = db
        .prepare(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows = statement.query([]).unwrap();
    let mut count = 0;
    while rows.next().unwrap().is_some() {
        count += 1;
    }
    count
}

fn plan(db: &Connection, sql: &str) -> String {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = statement
        .query_map([], |row| row.get::<_, String>(3))
        .unwrap();
    steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_question_has_an_answer() {
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    let short_lived = start_leak_lab(&place, b"short-lived", &["anon", "7", "50"]);
    let grows = start_leak_lab(&place, b"grows-sockets", &["udp", "13", "100"]);
    finish(record(&["mark", "--db", &db, "a step begins"])).expect(0);
    wait_for_ticks(&db, 8);
    drop(short_lived);
    wait_for_ticks(&db, 5);
    drop(grows);
    assert_eq!(recorder.terminate(), Some(0));

    let questions = questions();
    assert!(questions.len() >= 10, "{}", questions.len());
    let slabs: i64 = ask(&db, "SELECT count(*) FROM slabinfo");
    let vmallocs: i64 = ask(&db, "SELECT count(*) FROM vmallocinfo");
    let db = database(&db);
    for Question { words, sql } in &questions {
        assert!(words.ends_with('?') && sql.ends_with(';'), "{sql}");
        if (sql.contains("slabinfo") && slabs == 0)
            || (sql.contains("vmallocinfo") && vmallocs == 0)
        {
            skip(&format!("{words} (its file cannot be read here)"));
            continue;
        }
        assert!(rows(&db, sql) > 0, "no rows: {sql}");
    }
}

#[test]
fn a_picture_at_a_tick_reads_a_range_of_the_big_tables() {
    let place = Place::new();
    let path = place.file("soak.db");
    record_for(&path, "300ms", &[]);
    let views = list(
        &path,
        "SELECT name FROM sqlite_schema WHERE type = 'view' AND name LIKE '%\\_at' ESCAPE '\\'
         AND name <> 'sample_at'",
    );
    assert!(views.len() >= 8, "{views:?}");
    let db = database(&path);
    let mut asked: Vec<String> = views
        .iter()
        .map(|view| format!("SELECT * FROM {view} WHERE tick = 2"))
        .collect();
    asked.push("SELECT * FROM scalar_at WHERE tick = 2 AND source = 'meminfo'".to_owned());
    asked.extend(questions().into_iter().map(|question| question.sql));
    for sql in asked {
        let plan = plan(&db, &sql);
        // `x` and `v` are the rows of a source, `k` the samples, in all the views.
        for scan in ["SCAN x", "SCAN v", "SCAN k"] {
            let whole = plan
                .lines()
                .any(|line| line == scan || line.starts_with(&format!("{scan} ")));
            assert!(!whole, "{sql}\n{plan}");
        }
    }
}
