//! Facts about the machine and the boot that is recorded.

use memsoak_schema::{BootInfo, HostInfo};

use crate::root::{Root, read_whole};

/// Who is recorded.
pub fn read_host(root: &Root) -> HostInfo {
    let live = root.is_live();
    let uname = rustix::system::uname();
    let name = if live {
        uname.nodename().to_bytes().to_vec()
    } else {
        root.text("proc/sys/kernel/hostname")
            .unwrap_or_else(|| "captured".to_owned())
            .into_bytes()
    };
    // A board without a machine id is told from others by its name.
    let identity = root
        .text("etc/machine-id")
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| String::from_utf8_lossy(&name).into_owned());
    HostInfo {
        machine: format!("{:016x}", fnv1a(identity.as_bytes())),
        name,
        arch: if live {
            uname.machine().to_string_lossy().into_owned()
        } else {
            String::new()
        },
    }
}

/// Which boot of it.
pub fn read_boot(root: &Root) -> BootInfo {
    let live = root.is_live();
    let user_hz = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100);
    let page_bytes = if live {
        u32::try_from(rustix::param::page_size()).ok()
    } else {
        captured_page_bytes(root)
    };
    BootInfo {
        boot_id: root
            .text("proc/sys/kernel/random/boot_id")
            .unwrap_or_else(|| "captured".to_owned()),
        kernel: root.text("proc/sys/kernel/osrelease"),
        version: root.text("proc/version"),
        page_bytes: page_bytes.unwrap_or(4096),
        user_hz,
        cpus: root.text("proc/stat").and_then(|stat| {
            let cpus = stat.lines().filter(|line| {
                line.strip_prefix("cpu")
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            });
            u32::try_from(cpus.count()).ok()
        }),
    }
}

/// The page size of a captured machine: meminfo gives the slabs in KiB, vmstat in pages. They are
/// read one after the other, so the ratio is only nearly a power of two.
fn captured_page_bytes(root: &Root) -> Option<u32> {
    let meminfo = root.text("proc/meminfo")?;
    let vmstat = root.text("proc/vmstat")?;
    let number = |text: &str, key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let slab_kib = number(&meminfo, "Slab:")?;
    let pages =
        number(&vmstat, "nr_slab_reclaimable ")? + number(&vmstat, "nr_slab_unreclaimable ")?;
    let bytes = u32::try_from((slab_kib * 1024).checked_div(pages)?).ok()?;
    // 3/4 of the way up to the next power of two and beyond is the next one.
    (bytes + bytes / 3)
        .checked_next_power_of_two()
        .map(|next| next / 2)
}

/// FNV-1a, 64 bits: stable between versions, and 64 bits of a hash do not give the id away.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Start time of a process in clock ticks since boot, `None` when there is no such process.
pub fn start_ticks(root: &Root, pid: u32) -> Option<u64> {
    let file = root.open_file(&format!("proc/{pid}/stat")).ok()?;
    let mut line = Vec::new();
    read_whole(&file, &mut line).ok()?;
    crate::source::process_text::parse_stat(&line).map(|stat| stat.start_ticks)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_start_of_a_living_process_is_known() {
        let live = Root::open(Path::new("/")).expect("a running machine has a root");
        assert!(start_ticks(&live, std::process::id()).is_some_and(|start| start > 0));
    }
}
