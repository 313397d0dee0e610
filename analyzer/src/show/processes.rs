//! top: the processes.

use super::instant::{Held, Instant, Thing};
use super::sheet::{Cell, Row, Sheet, Table, left, right};
use super::{Ask, no_key};

/// CPU time of a process that stays as it is may be a minute old: %CPU is the mean over this long.
const CPU_SPAN_S: i64 = 60;

struct Line {
    cells: Vec<Cell>,
    key: String,
    pid: i64,
    sorted_by: f64,
}

/// As `top -b -o RES` (KiB), with what is recorded: uid for the user, swap, page tables, threads and
/// descriptors in the place of priorities.
pub(super) fn top(instant: &Instant<'_>, ask: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("process")?;
    let earlier = instant.before(CPU_SPAN_S).and_then(|before| {
        Some((
            before.held("process").ok()?,
            instant.seconds() - before.seconds(),
        ))
    });
    let hz = f64::from(instant.boot.boot.user_hz.max(1));
    let meminfo = instant.held("meminfo").ok();
    let total_kib = meminfo.as_ref().and_then(|held| held.scalar("MemTotal"));

    let mut sheet = Sheet::default();
    sheet.line(tasks(&held));
    if let Some(meminfo) = &meminfo {
        head(meminfo, &mut sheet);
    }
    sheet.line("");

    let key = ask.sort.as_deref().unwrap_or("RES");
    let mut lines = Vec::new();
    for thing in held.things() {
        let resident = resident_kib(&thing);
        let shared = sum(&[thing.kib("rss_file_kib"), thing.kib("rss_shmem_kib")]);
        let memory = (|| Some(resident? / total_kib? * 100.0))();
        let time = thing.get("cpu_ticks").map(|ticks| ticks / hz);
        let cpu = earlier.as_ref().and_then(|(held, seconds)| {
            let was = held
                .things()
                .find(|other| other.number() == thing.number())?
                .get("cpu_ticks")?;
            Some((thing.get("cpu_ticks")? - was) / hz / seconds * 100.0)
        });
        let pid = thing.label("pid").unwrap_or(0);
        let sorted_by = match key {
            "RES" | "%MEM" => resident,
            "VIRT" => thing.kib("vm_size_kib"),
            "SHR" => shared,
            "SWAP" => thing.kib("vm_swap_kib"),
            "PTE" => thing.kib("vm_pte_kib"),
            "nTH" => thing.get("threads"),
            "FDS" => thing.get("fds"),
            "%CPU" => cpu,
            "TIME" => time,
            #[expect(clippy::cast_precision_loss, reason = "a pid")]
            "PID" => Some(-(pid as f64)),
            other => {
                return Err(no_key(
                    "top",
                    other,
                    "RES, %MEM, VIRT, SHR, SWAP, PTE, nTH, FDS, %CPU, TIME, PID",
                ));
            }
        };
        lines.push(Line {
            cells: vec![
                pid.to_string().into(),
                thing
                    .label("uid")
                    .map_or_else(|| "-".to_owned(), |uid| uid.to_string())
                    .into(),
                thing.kib("vm_size_kib").into(),
                resident.into(),
                shared.into(),
                thing.kib("vm_swap_kib").into(),
                thing.kib("vm_pte_kib").into(),
                thing.get("threads").into(),
                thing.get("fds").into(),
                state(&thing).into(),
                cpu.into(),
                memory.into(),
                Cell::Time(time),
                thing.name().into(),
            ],
            key: thing.number().to_string(),
            pid,
            sorted_by: sorted_by.unwrap_or(f64::NEG_INFINITY),
        });
    }
    lines.sort_by(|a, b| b.sorted_by.total_cmp(&a.sorted_by).then(a.pid.cmp(&b.pid)));
    sheet.table(Table {
        head: "    PID   UID     VIRT     RES     SHR    SWAP    PTE nTH   FDS S  %CPU  %MEM     TIME+ COMMAND"
            .to_owned(),
        columns: vec![
            right(7).before(""),
            right(5),
            right(8),
            right(7),
            right(7),
            right(7),
            right(6),
            right(3),
            right(5),
            right(1),
            right(5).digits(1),
            right(5).digits(1),
            right(9),
            left(0).before(" "),
        ],
        rows: lines
            .into_iter()
            .map(|line| Row {
                key: line.key,
                cells: line.cells,
            })
            .collect(),
        weight: Some(3),
    });
    Ok(sheet)
}

fn tasks(held: &Held<'_>) -> String {
    let count = |letters: &str| {
        held.things()
            .filter(|thing| letters.contains(&state(thing)))
            .count()
    };
    format!(
        "Tasks: {} total, {} running, {} sleeping, {} stopped, {} zombie",
        held.things().count(),
        count("R"),
        count("SDI"),
        count("tT"),
        count("Z")
    )
}

fn head(meminfo: &Held<'_>, sheet: &mut Sheet) {
    let key = |name: &str| meminfo.scalar(name).unwrap_or(f64::NAN) / 1024.0;
    sheet.line(format!(
        "MiB Mem : {:8.1} total, {:8.1} free, {:8.1} used, {:8.1} buff/cache",
        key("MemTotal"),
        key("MemFree"),
        key("MemTotal") - key("MemAvailable"),
        key("Buffers") + key("Cached") + key("SReclaimable"),
    ));
    sheet.line(format!(
        "MiB Swap: {:8.1} total, {:8.1} free, {:8.1} used. {:8.1} avail Mem",
        key("SwapTotal"),
        key("SwapFree"),
        key("SwapTotal") - key("SwapFree"),
        key("MemAvailable"),
    ));
}

fn sum(parts: &[Option<f64>]) -> Option<f64> {
    parts.iter().copied().sum()
}

fn resident_kib(thing: &Thing<'_>) -> Option<f64> {
    sum(&[
        thing.kib("rss_anon_kib"),
        thing.kib("rss_file_kib"),
        thing.kib("rss_shmem_kib"),
    ])
}

/// The letter of the kernel's state.
fn state(thing: &Thing<'_>) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is no letter is told as not known"
    )]
    let letter = thing.get("state").map(|code| code as u8 as char);
    letter
        .filter(char::is_ascii_alphabetic)
        .map_or_else(|| "-".to_owned(), String::from)
}
