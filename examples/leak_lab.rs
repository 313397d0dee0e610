//! A process that holds more and more of one thing at a stated rate, or just works: something to
//! point the recorder at.
//!
//! It ends when its standard input does, so that it cannot outlive whoever started it.

use std::hint::black_box;
use std::io::Read;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
usage: leak_lab KIND COUNT INTERVAL_MS
  anon    keeps COUNT more pages of 4 KiB at each step
  udp     keeps COUNT more UDP sockets at each step
  steady  allocates, fills and frees COUNT pages at each step";

const PAGE_BYTES: usize = 4096;

#[derive(Clone, Copy)]
enum Kind {
    Anon,
    Udp,
    Steady,
}

fn main() -> ExitCode {
    // The name of the program itself need not be UTF-8.
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let Some((kind, count, interval)) = parse(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    std::thread::spawn(move || {
        let mut pages = Vec::new();
        let mut sockets = Vec::new();
        loop {
            match kind {
                Kind::Anon => pages.push(filled(count)),
                Kind::Udp => sockets.extend((0..count).map(|_| UdpSocket::bind("127.0.0.1:0"))),
                Kind::Steady => drop(black_box(filled(count))),
            }
            black_box(&pages);
            std::thread::sleep(interval);
        }
    });
    let mut rest = [0; 64];
    while matches!(std::io::stdin().read(&mut rest), Ok(read) if read > 0) {}
    ExitCode::SUCCESS
}

fn parse(args: &[String]) -> Option<(Kind, usize, Duration)> {
    let [kind, count, interval] = args else {
        return None;
    };
    let kind = match kind.as_str() {
        "anon" => Kind::Anon,
        "udp" => Kind::Udp,
        "steady" => Kind::Steady,
        _ => return None,
    };
    let interval = Duration::from_millis(interval.parse().ok()?);
    Some((kind, count.parse().ok()?, interval))
}

/// Pages that are really there: each is written to.
fn filled(pages: usize) -> Vec<u8> {
    let mut bytes = vec![0; pages * PAGE_BYTES];
    for page in bytes.chunks_mut(PAGE_BYTES) {
        page.fill(black_box(0x5a));
    }
    bytes
}
