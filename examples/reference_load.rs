//! The load that recorders are measured under: 1,000 idle processes with a touched heap of 1 MiB
//! each, and 10 whose memory goes up and down in steps of 256 KiB every 50 ms.
//!
//! ```text
//! cargo run --release --example reference_load [-- IDLE ACTIVE]
//! ```
//!
//! Prints `ready` when all run. All end when this process does, or when its standard input is closed.

#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::parent_id;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

const STEP_BYTES: usize = 256 << 10;
const MOST_STEPS: usize = 128;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("idle") => idle(),
        Some("active") => active(args.get(1).and_then(|n| n.parse().ok()).unwrap_or(0)),
        _ => {}
    }
    let number = |at: usize, default: usize| -> anyhow::Result<usize> {
        args.get(at)
            .map_or(Ok(default), |n| n.parse().context("not a number"))
    };
    let (idle, active) = (number(0, 1000)?, number(1, 10)?);
    let mut children = Children(Vec::new());
    for _ in 0..idle {
        children.start(&["idle"])?;
    }
    for n in 0..active {
        children.start(&["active", &n.to_string()])?;
    }
    for child in &mut children.0 {
        if let Some(ready) = child.stdout.take() {
            BufReader::new(ready).read_line(&mut String::new())?;
        }
    }
    println!("ready: {idle} idle, {active} active");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

struct Children(Vec<Child>);

impl Children {
    fn start(&mut self, args: &[&str]) -> anyhow::Result<()> {
        let child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process of the load")?;
        self.0.push(child);
        Ok(())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// Tells the parent that the memory is touched.
fn ready() {
    println!("ready");
}

fn idle() -> ! {
    black_box(vec![1_u8; 1 << 20].leak());
    ready();
    // Standard input stays open as long as the parent lives.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0)
}

fn active(number: usize) -> ! {
    let parent = parent_id();
    let mut steps: Vec<Vec<u8>> = Vec::with_capacity(MOST_STEPS);
    for _ in 0..(4 + 9 * number).min(MOST_STEPS - 1) {
        steps.push(vec![1_u8; STEP_BYTES]);
    }
    ready();
    let mut up = true;
    while parent_id() == parent {
        if up {
            steps.push(black_box(vec![1_u8; STEP_BYTES]));
        } else {
            steps.pop();
        }
        if steps.len() >= MOST_STEPS {
            up = false;
        } else if steps.len() <= 4 {
            up = true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::process::exit(0)
}
