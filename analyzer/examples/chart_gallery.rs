//! Draws made-up charts into a folder, for looking at them: `chart_gallery FOLDER`.
//!
//! What a chart looks like cannot be asserted. After a change to the drawing, run this and look.

use chrono::DateTime;
use memsoak_analyze::chart::{
    ChartError, FitPoint, Gap, Layer, Line, Mark, Quantity, SeriesChart, Size, StackChart,
    TimeAxis, draw_series, draw_stack,
};
use std::f64::consts::TAU;
use std::path::Path;
use std::time::Instant;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// Noise in -1..1 from a fixed sequence, so that pictures of two runs can be compared.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

fn axis(end_s: f64) -> TimeAxis {
    TimeAxis {
        start_s: 0.0,
        end_s,
        wall_start: DateTime::from_timestamp(1_760_000_000, 0),
    }
}

fn chart(title: &str, quantity: Quantity, end_s: f64) -> SeriesChart {
    SeriesChart {
        title: title.to_owned(),
        subtitle: "board-7, Linux 6.12.9 aarch64, 8 CPUs, 24 GiB".to_owned(),
        quantity,
        axis: axis(end_s),
        lines: Vec::new(),
        fit: None,
        marks: Vec::new(),
        gaps: Vec::new(),
        boots: Vec::new(),
        onset: None,
        notes: Vec::new(),
    }
}

fn line(label: &str, step_s: f64, end_s: f64, mut value: impl FnMut(f64) -> Option<f64>) -> Line {
    let n = (0..)
        .map(|i| f64::from(i) * step_s)
        .take_while(|t| *t <= end_s);
    Line {
        label: label.to_owned(),
        points: n.map(|t| (t, value(t))).collect(),
    }
}

fn mark(t_s: f64, text: &str) -> Mark {
    Mark {
        t_s,
        text: text.to_owned(),
    }
}

fn gap(from_s: f64, to_s: f64, reason: &str) -> Gap {
    Gap {
        from_s,
        to_s,
        reason: reason.to_owned(),
    }
}

fn fit(
    from_s: f64,
    to_s: f64,
    value: impl Fn(f64) -> f64,
    half: impl Fn(f64) -> f64,
) -> Vec<FitPoint> {
    let times = (0..=40).map(|i| from_s + (to_s - from_s) * f64::from(i) / 40.0);
    times
        .map(|t_s| FitPoint {
            t_s,
            value: value(t_s),
            low: value(t_s) - half(t_s),
            high: value(t_s) + half(t_s),
        })
        .collect()
}

fn slow_leak() -> SeriesChart {
    let mut noise = Noise(7);
    let end = 6.0 * HOUR;
    let truth = |t: f64| 100.0 * MIB + 12.3 * MIB * (t - HOUR).max(0.0) / HOUR;
    let mut c = chart(
        "stress-leak (pid 123) RssAnon leaks 12.3 MiB/h (12.1 to 12.6), since +1h",
        Quantity::Bytes,
        end,
    );
    c.lines = vec![line("process/stress-leak/rss_anon_bytes", 10.0, end, |t| {
        Some(truth(t) + 3.0 * MIB * noise.next())
    })];
    c.fit = Some(fit(HOUR, end, truth, |t| {
        (1.0 + 4.0 * ((t - 3.5 * HOUR) / (2.5 * HOUR)).powi(2)) * MIB
    }));
    c.onset = Some(HOUR);
    c.notes = vec!["Theil-Sen slope over 1800 samples; interval by block bootstrap; smallest leak that would have been seen: 0.4 MiB/h.".to_owned()];
    c
}

fn saw_tooth() -> SeriesChart {
    let mut noise = Noise(11);
    let end = DAY;
    let mut c = chart(
        "slabinfo/dentry/slab_bytes is steady: a saw-tooth of 200 MiB every 40 minutes",
        Quantity::Bytes,
        end,
    );
    c.lines = vec![line("slabinfo/dentry/slab_bytes", 10.0, end, |t| {
        Some(900.0 * MIB + 200.0 * MIB * (t / 2400.0).fract() + 4.0 * MIB * noise.next())
    })];
    c
}

fn gaps_and_marks() -> SeriesChart {
    let mut noise = Noise(13);
    let end = 12.0 * HOUR;
    let mut c = chart(
        "kmalloc-1k objects leak 5 400/h after the driver my_very_long_driver_name was loaded the second time; the first load did not show it",
        Quantity::Count,
        end,
    );
    c.lines = vec![
        line("slabinfo/kmalloc-1k/active_objects", 30.0, end, |t| {
            let boot = 7.0 * HOUR;
            let base = if t < boot {
                41_000.0 + 5.4 * t / 3.6
            } else {
                40_000.0 + 5.4 * (t - boot) / 3.6
            };
            let missing = (2.0 * HOUR..3.2 * HOUR).contains(&t)
                || (9.0 * HOUR..9.3 * HOUR).contains(&t)
                || (6.9 * HOUR..boot).contains(&t);
            (!missing).then(|| base + 400.0 * noise.next())
        }),
        line("slabinfo/kmalloc-1k/total_objects", 30.0, end, |t| {
            (!(2.0 * HOUR..3.2 * HOUR).contains(&t))
                .then_some(52_000.0 + (t / HOUR).floor() * 150.0)
        }),
    ];
    c.gaps = vec![
        gap(2.0 * HOUR, 3.2 * HOUR, "recorder stopped"),
        gap(9.0 * HOUR, 9.3 * HOUR, "machine suspended"),
    ];
    c.boots = vec![7.0 * HOUR];
    c.marks = vec![
        mark(4.0 * HOUR, "load driver"),
        mark(4.2 * HOUR, "iperf3 -P 16 begins"),
        mark(4.35 * HOUR, "cable pulled"),
        mark(4.4 * HOUR, "cable back in, and a text too long for a mark"),
        mark(4.9 * HOUR, "iperf3 ends"),
        mark(11.9 * HOUR, "test ends"),
    ];
    c.notes = vec!["No trend is fitted across the reboot.".to_owned()];
    c
}

fn week() -> SeriesChart {
    let mut noise = Noise(17);
    let end = 60_480.0 * 10.0;
    let truth = |t: f64| 310.0 * MIB + 0.21 * MIB * t / HOUR;
    let mut c = chart(
        "sshd (all processes) RssAnon leaks 0.21 MiB/h (0.19 to 0.23)",
        Quantity::Bytes,
        end,
    );
    c.lines = vec![line("by_name/sshd/rss_anon_bytes", 10.0, end, |t| {
        let spike = if (t / 10.0).rem_euclid(7919.0) < 1.0 {
            60.0 * MIB
        } else {
            0.0
        };
        Some(truth(t) + spike + 8.0 * MIB * (TAU * t / DAY).sin() + 5.0 * MIB * noise.next())
    })];
    c.fit = Some(fit(0.0, end, truth, |_| 2.0 * MIB));
    c
}

fn one_minute() -> SeriesChart {
    let mut c = chart(
        "too short to judge: one minute of leak_lab",
        Quantity::Bytes,
        60.0,
    );
    c.axis.wall_start = None;
    c.subtitle.clear();
    c.lines = vec![
        line("process/leak_lab/rss_anon_bytes", 2.0, 60.0, |t| {
            Some(20.0 * MIB + 128.0 * KIB * t)
        }),
        line("process/leak_lab/rss_file_bytes", 2.0, 60.0, |_| {
            Some(22.0 * MIB)
        }),
    ];
    c
}

fn hostile() -> SeriesChart {
    let mut c = chart(
        &format!("evil\u{1b}[31m\u{202e}name\n{}", "x".repeat(500)),
        Quantity::Count,
        100.0,
    );
    c.subtitle = "\u{0}\u{9b}".repeat(200);
    c.lines = (0..30)
        .map(|i| {
            line(
                &format!("\u{7}line {i} with quite a long name {}", "y".repeat(i * 3)),
                1.0,
                100.0,
                |t| Some(t * i as f64),
            )
        })
        .collect();
    c.marks = (0..3000)
        .map(|i| mark(f64::from(i) / 30.0, &format!("mark {i}\u{202e}")))
        .collect();
    c.gaps = vec![gap(50.0, 51.0, "z")];
    c
}

fn overview(layers: usize) -> StackChart {
    let mut noise = Noise(19);
    let end = 3.0 * DAY;
    let t_s: Vec<f64> = (0..=25_920)
        .map(|i| f64::from(i) * 10.0)
        .filter(|t| *t <= end)
        .collect();
    let parts: [(&str, f64, f64, f64); 10] = [
        ("unaccounted", 0.4, 1.9, 0.02),
        ("kernel stacks", 0.02, 0.0, 0.001),
        ("page tables", 0.08, 0.03, 0.004),
        ("slab unreclaimable", 0.5, 0.1, 0.02),
        ("slab reclaimable", 1.4, 0.3, 0.1),
        ("percpu, vmalloc", 0.2, 0.0, 0.002),
        ("shmem", 0.9, 0.2, 0.05),
        ("anon", 6.0, 1.5, 0.4),
        ("file cache", 8.0, 2.0, 0.8),
        ("free", 6.0, -5.5, 0.0),
    ];
    let mut layers: Vec<Layer> = parts
        .into_iter()
        .take(layers)
        .map(|(label, base, growth, wobble)| {
            let value = |t: &f64| {
                let missing = (1.4 * DAY..1.55 * DAY).contains(t);
                let wave = wobble * ((TAU * t / DAY).sin() + 0.3 * noise.next());
                (!missing).then(|| (base + growth * t / end + wave).max(0.0) * GIB)
            };
            Layer {
                label: label.to_owned(),
                unused: label == "free",
                values: t_s.iter().map(value).collect(),
            }
        })
        .collect();
    // Free is what the others leave.
    let total = 24.0 * GIB;
    if let Some((free, others)) = layers.split_last_mut() {
        for (i, value) in free.values.iter_mut().enumerate() {
            let used: f64 = others.iter().filter_map(|l| l.values[i]).sum();
            *value = value.map(|_| (total - used).max(0.0));
        }
    }
    StackChart {
        title: "24 GiB of board-7: what the kernel took for itself (unaccounted) grew by 1.9 GiB in 3 days".to_owned(),
        subtitle: "board-7, Linux 6.12.9 aarch64, MemTotal split without overlap".to_owned(),
        quantity: Quantity::Bytes,
        axis: axis(end),
        t_s,
        layers,
        total: Some(total),
        marks: vec![mark(0.5 * DAY, "load test begins"), mark(2.2 * DAY, "drop caches")],
        gaps: vec![gap(1.4 * DAY, 1.55 * DAY, "power lost")],
        boots: vec![1.55 * DAY],
    }
}

/// Processor seconds of this process, where /proc has them; else since `began`.
fn cpu_s(began: Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => (user + system) / 100.0,
        _ => began.elapsed().as_secs_f64(),
    }
}

fn save(
    folder: &Path,
    name: &str,
    draw: impl Fn() -> Result<Vec<u8>, ChartError>,
) -> Result<(), Box<dyn std::error::Error>> {
    const ROUNDS: u32 = 10;
    let png = draw()?;
    let began = Instant::now();
    let before = cpu_s(began);
    for _ in 0..ROUNDS {
        draw()?;
    }
    let each_ms = (cpu_s(began) - before) * 1000.0 / f64::from(ROUNDS);
    eprintln!("{name}: {each_ms:.0} ms CPU, {} KiB", png.len() / 1024);
    // Bug trackers show a wide picture at half its size.
    let half = image::load_from_memory(&png)?;
    let half = half.resize(
        half.width() / 2,
        half.height() / 2,
        image::imageops::FilterType::Triangle,
    );
    half.save(folder.join(format!("{name}.half.png")))?;
    std::fs::write(folder.join(format!("{name}.png")), png)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("usage: chart_gallery FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let size = Size::default();
    let series = [
        ("slow_leak", slow_leak()),
        ("saw_tooth", saw_tooth()),
        ("gaps_and_marks", gaps_and_marks()),
        ("week", week()),
        ("one_minute", one_minute()),
        ("hostile", hostile()),
    ];
    for (name, chart) in &series {
        save(folder, name, || draw_series(chart, size))?;
    }
    let stack = overview(10);
    save(folder, "overview", || draw_stack(&stack, size))?;
    save(folder, "slow_leak_small", || {
        draw_series(
            &series[0].1,
            Size {
                width: 480,
                height: 260,
            },
        )
    })?;
    save(folder, "overview_small", || {
        draw_stack(
            &stack,
            Size {
                width: 480,
                height: 260,
            },
        )
    })?;
    Ok(())
}
