//! Runs the real programs for the end-to-end tests.
//!
//! `cargo test --workspace` builds no binaries of other members for the tests of this package, so
//! they are built here, once, through `$CARGO`: any test runner works.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

/// A test that waits for something gives up after this time.
const PATIENCE: Duration = Duration::from_secs(120);

struct Programs {
    record: PathBuf,
    analyze: PathBuf,
    leak_lab: PathBuf,
}

fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(build)
}

/// The top of the checkout.
pub(crate) fn repo() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn build() -> Programs {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO")));
    let mut command = Command::new(cargo);
    // The whole workspace with its examples: the same features as the tests, so nothing is built twice.
    command
        .args(["build", "--workspace", "--bins", "--example", "leak_lab"])
        .args(["--quiet", "--message-format", "json"])
        .current_dir(repo())
        .stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().expect("cargo starts");
    assert!(output.status.success(), "cargo build: {}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let built: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let program = |name: &str| {
        built
            .iter()
            .filter(|message| message["target"]["name"] == name)
            .find_map(|message| message["executable"].as_str())
            .map(PathBuf::from)
            .unwrap_or_else(|| panic!("cargo built no {name}"))
    };
    Programs {
        record: program("memsoak-record"),
        analyze: program("memsoak-analyze"),
        leak_lab: program("leak_lab"),
    }
}

/// The recorder, with arguments.
pub(crate) fn record(args: &[&str]) -> Command {
    let mut command = Command::new(&programs().record);
    command.args(args);
    command
}

/// The analyzer, with arguments.
pub(crate) fn analyze(args: &[&str]) -> Command {
    let mut command = Command::new(&programs().analyze);
    command.args(args);
    command
}

/// The leak lab, with arguments.
pub(crate) fn leak_lab(args: &[&str]) -> Command {
    let mut command = Command::new(&programs().leak_lab);
    command.args(args);
    command
}

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Done {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Ends the test unless the program ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.out(),
            self.err()
        );
        self
    }
}

/// Runs a program to its end.
pub(crate) fn finish(mut command: Command) -> Done {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Done {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: output.stderr,
    }
}

/// A folder for the files of one test.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::Builder::new()
                .prefix("memsoak-")
                .tempdir()
                .unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it, as an argument.
    pub(crate) fn file(&self, name: &str) -> String {
        text(&self.path().join(name))
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("test paths are UTF-8").to_owned()
}

/// Records this machine at 100 ms for a time, with further arguments.
pub(crate) fn record_for(db: &str, duration: &str, more: &[&str]) -> Done {
    let mut command = record(&["run", "--db", db, "--interval", "100ms"]);
    command
        .args(["--duration", duration, "--cpu-budget", "100%"])
        .args(more);
    finish(command).expect(0)
}

/// A process that is killed when the test is over, however it ends.
pub(crate) struct Running {
    child: Child,
    said: PathBuf,
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Starts it; what it says goes to a file.
    pub(crate) fn start(mut command: Command, said: &Path) -> Self {
        let log = fs::File::create(said).unwrap();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            child,
            said: said.to_owned(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.said).unwrap()).into_owned()
    }

    /// Waits until it has said something.
    pub(crate) fn wait_to_say(&mut self, words: &str) {
        wait_until(words, || {
            assert!(self.is_alive(), "it ended: {}", self.said());
            self.said().contains(words)
        });
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends its standard input and waits for its end; returns the exit code.
    pub(crate) fn close_input(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().unwrap().code()
    }

    /// Sends SIGTERM and waits for the end; returns the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let status = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts recording this machine at 100 ms and waits for the first ticks.
pub(crate) fn start_recording(place: &Place, db: &str, more: &[&str]) -> Running {
    let mut command = record(&["run", "--db", db, "--interval", "100ms"]);
    command.args(["--cpu-budget", "100%"]).args(more);
    let mut running = Running::start(command, &place.path().join("recorder.log"));
    running.wait_to_say("event=recording");
    wait_for_ticks(db, 3);
    running
}

/// Waits until a live recording holds this many more ticks.
pub(crate) fn wait_for_ticks(db: &str, more: i64) {
    let before = ticks(db);
    wait_until("ticks", || ticks(db) >= before + more);
}

/// Ticks of a recording, 0 before there is one.
pub(crate) fn ticks(db: &str) -> i64 {
    let sql = "SELECT count(*) FROM tick";
    open(db)
        .and_then(|db| db.query_row(sql, [], |row| row.get(0)))
        .unwrap_or(0)
}

pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn open(db: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

/// Asks a recording, as a person with `sqlite3` would.
pub(crate) fn database(db: &str) -> Connection {
    open(db).unwrap()
}

/// One number or text from a recording.
#[track_caller]
pub(crate) fn ask<T: rusqlite::types::FromSql>(db: &str, sql: &str) -> T {
    database(db)
        .query_row(sql, [], |row| row.get(0))
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The rows of a query, with one column.
#[track_caller]
pub(crate) fn list(db: &str, sql: &str) -> Vec<String> {
    let db = database(db);
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Writes a report and returns report.json, report.md and the exit code.
pub(crate) fn report(place: &Place, db: &str) -> (Value, String, Done) {
    let out = place.path().join("report");
    let done = finish(analyze(&["report", db, "--out", &text(&out)]));
    assert!(
        matches!(done.code, Some(0 | 1 | 3)),
        "{:?} {}",
        done.code,
        done.err()
    );
    let json = fs::read(out.join("report.json")).unwrap();
    let markdown = fs::read(out.join("report.md")).unwrap();
    (
        serde_json::from_slice(&json).unwrap(),
        String::from_utf8(markdown).expect("report.md is UTF-8"),
        done,
    )
}

/// The source's entry in the coverage of a report.
pub(crate) fn coverage<'a>(report: &'a Value, source: &str) -> &'a Value {
    let entries = report["coverage"].as_array().unwrap();
    entries
        .iter()
        .find(|entry| entry["source"] == source)
        .unwrap_or_else(|| panic!("no coverage of {source}"))
}

/// Starts the leak lab under a name of its own; it ends with the test.
pub(crate) fn start_leak_lab(place: &Place, name: &[u8], args: &[&str]) -> Running {
    let path = place.path().join(OsStr::from_bytes(name));
    copy_program(&programs().leak_lab, &path);
    let mut command = Command::new(&path);
    command.args(args);
    Running::start(command, &place.path().join("leak_lab.log"))
}

pub(crate) fn is_root() -> bool {
    let own = fs::read_to_string("/proc/self/status").unwrap();
    own.lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// Says that a test cannot run here. The runners know no such state, so it stands in the output.
pub(crate) fn skip(why: &str) {
    say(&format!("skipped: {why}"));
}

/// A figure for the docs; shown with --nocapture.
pub(crate) fn say(words: &str) {
    println!("{words}");
}

/// The recorder as a user without rights, from a copy that such a user can run. `None` where there
/// is no setpriv.
pub(crate) fn as_nobody(place: &Place, args: &[&str]) -> Option<Command> {
    use std::os::unix::fs::PermissionsExt;
    let known = Command::new("setpriv").arg("--version").output();
    if !known.is_ok_and(|done| done.status.success()) {
        return None;
    }
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.path(), open.clone()).unwrap();
    let program = place.path().join("memsoak-record");
    copy_program(&programs().record, &program);
    fs::set_permissions(&program, open).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program)
        .args(args);
    Some(command)
}

/// `cp` and not this process: none of its threads that start something can then have inherited the
/// copy open for writing, which would make it busy.
fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}
