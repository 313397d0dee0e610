//! Tells a service manager how the recorder fares: one datagram of `KEY=VALUE` lines to the socket
//! that `$NOTIFY_SOCKET` names (sd_notify(3)).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The watchdog of a service waits for so many intervals at least: one that is shorter would end a
/// recorder that only waits for its next tick, or for a slow disk.
const LEAST_INTERVALS: u64 = 3;

/// Where the service manager listens.
#[derive(Debug)]
pub struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// A longer watchdog that is asked for, in us.
    longer_us: Option<u64>,
    /// Ticks on disk when it was told last.
    ticks: u64,
}

impl Notify {
    /// What the environment names; without a service manager everything here does nothing. A socket
    /// that cannot be reached is none: the recording does not depend on it.
    pub fn from_env(interval_us: u64) -> Self {
        let watchdog_us: Option<u64> = env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|text| text.parse().ok());
        let least_us = interval_us.saturating_mul(LEAST_INTERVALS);
        Self {
            to: env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok()),
            longer_us: watchdog_us.and_then(|us| (us < least_us).then_some(least_us)),
            ticks: 0,
        }
    }

    /// A tick is over, and so many are on disk. The first one makes the service ready. One that could
    /// not be written is no reason to end the recorder, which holds what the disk does not take.
    pub fn ticked(&mut self, ticks: u64) {
        if self.to.is_none() {
            return;
        }
        let status = if ticks > self.ticks {
            format!("{ticks} ticks recorded")
        } else {
            "the recording cannot be written now".to_owned()
        };
        let mut text = format!("WATCHDOG=1\nSTATUS={status}\n");
        if let Some(us) = self.longer_us.take() {
            text.push_str(&format!("WATCHDOG_USEC={us}\n"));
        }
        if self.ticks == 0 && ticks > 0 {
            text.push_str("READY=1\n");
        }
        self.ticks = ticks;
        self.send(&text);
    }

    /// The recording ends.
    pub fn stopping(&self, why: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={why}\n"));
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            // A manager that does not listen is no reason to stop recording, nor to wait for it.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

/// A name that begins with `@` is in the abstract namespace, else it is a path.
fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("something was said");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn ready_is_said_with_the_first_tick_on_disk_and_a_short_watchdog_is_made_longer() {
        let name = format!("memsoak-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("a new name");
        let name = format!("@{name}");
        let mut notify = Notify {
            to: Some(connect(OsStr::new(&name)).expect("it listens")),
            longer_us: Some(30_000_000),
            ticks: 0,
        };
        notify.ticked(0);
        assert_eq!(
            heard(&manager),
            "WATCHDOG=1\nSTATUS=the recording cannot be written now\nWATCHDOG_USEC=30000000\n"
        );
        notify.ticked(1);
        assert_eq!(
            heard(&manager),
            "WATCHDOG=1\nSTATUS=1 ticks recorded\nREADY=1\n"
        );
        notify.ticked(2);
        assert_eq!(heard(&manager), "WATCHDOG=1\nSTATUS=2 ticks recorded\n");
        notify.stopping("over");
        assert_eq!(heard(&manager), "STOPPING=1\nSTATUS=over\n");
    }
}
