//! Facts about the machine and the boot that is recorded.

use memsoak_schema::{BootInfo, HostInfo};

use crate::manifest::Manifest;
use crate::root::{Root, read_whole};

/// What stands for a name or a boot id that a capture does not have.
pub const UNNAMED: &str = "captured";

/// Clock ticks a second that every architecture but alpha shows to programs (USER_HZ).
const USER_HZ: u32 = 100;

/// Who is recorded.
pub fn read_host(root: &Root) -> HostInfo {
    let live = root.is_live();
    let uname = rustix::system::uname();
    let manifest = manifest_of(root);
    let name = if live {
        uname.nodename().to_bytes().to_vec()
    } else {
        root.text("proc/sys/kernel/hostname")
            .unwrap_or_else(|| UNNAMED.to_owned())
            .into_bytes()
    };
    // A board without a machine id is told from others by its name.
    let identity = root
        .text("etc/machine-id")
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| String::from_utf8_lossy(&name).into_owned());
    HostInfo {
        machine: manifest
            .machine
            .unwrap_or_else(|| format!("{:016x}", fnv1a(identity.as_bytes()))),
        name,
        arch: if root.is_captured() {
            manifest.arch.unwrap_or_default()
        } else {
            uname.machine().to_string_lossy().into_owned()
        },
    }
}

/// Which boot of it.
pub fn read_boot(root: &Root) -> BootInfo {
    let manifest = manifest_of(root);
    let (page_bytes, user_hz) = if root.is_captured() {
        let told = root
            .bytes("proc/self/auxv")
            .and_then(|auxv| told_to_programs(&auxv));
        let page_bytes = manifest
            .page_bytes
            .or(told.map(|(page_bytes, _)| page_bytes))
            .or_else(|| captured_page_bytes(root));
        (page_bytes, manifest.user_hz.or(told.map(|(_, hz)| hz)))
    } else {
        (
            u32::try_from(rustix::param::page_size()).ok(),
            u32::try_from(rustix::param::clock_ticks_per_second()).ok(),
        )
    };
    BootInfo {
        boot_id: manifest
            .boot_id
            .or_else(|| root.text("proc/sys/kernel/random/boot_id"))
            .unwrap_or_else(|| UNNAMED.to_owned()),
        kernel: root.text("proc/sys/kernel/osrelease").or(manifest.kernel),
        version: root.text("proc/version"),
        page_bytes: page_bytes.unwrap_or(4096),
        user_hz: user_hz.unwrap_or(USER_HZ),
        cpus: manifest.cpus.or_else(|| {
            let stat = root.text("proc/stat")?;
            let cpus = stat.lines().filter(|line| {
                line.strip_prefix("cpu")
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            });
            u32::try_from(cpus.count()).ok()
        }),
    }
}

/// What a capture says of itself; nothing where that is wrong, which `import` refuses.
fn manifest_of(root: &Root) -> Manifest {
    if root.is_captured() {
        Manifest::of(root).ok().flatten().unwrap_or_default()
    } else {
        Manifest::default()
    }
}

/// Page size and clock ticks a second from an auxiliary vector (getauxval(3)), whose words are of
/// the width and order of the machine that it comes from.
fn told_to_programs(auxv: &[u8]) -> Option<(u32, u32)> {
    const AT_PAGESZ: u64 = 6;
    const AT_CLKTCK: u64 = 17;
    [(8, false), (8, true), (4, false), (4, true)]
        .into_iter()
        .find_map(|(width, is_big_endian)| {
            let word = |bytes: &[u8]| {
                let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
                if is_big_endian {
                    bytes.iter().fold(0, add)
                } else {
                    bytes.iter().rev().fold(0, add)
                }
            };
            let value = |key: u64| {
                auxv.chunks_exact(2 * width).find_map(|pair| {
                    let (name, value) = pair.split_at(width);
                    (word(name) == key).then(|| u32::try_from(word(value)).ok())?
                })
            };
            // Linux has pages of 4 KiB to 256 KiB.
            let page_bytes = value(AT_PAGESZ)
                .filter(|bytes| bytes.is_power_of_two() && (1 << 12..=1 << 18).contains(bytes))?;
            Some((page_bytes, value(AT_CLKTCK).filter(|hz| *hz > 0)?))
        })
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

    #[test]
    fn the_auxiliary_vector_of_any_machine_tells_its_page_size() {
        let vector = |width: usize, big: bool| -> Vec<u8> {
            [(33_u64, 0x7fff_0000), (6, 16_384), (17, 100), (0, 0)]
                .into_iter()
                .flat_map(|(key, value)| [key, value])
                .flat_map(|word| {
                    if big {
                        word.to_be_bytes()[8 - width..].to_vec()
                    } else {
                        word.to_le_bytes()[..width].to_vec()
                    }
                })
                .collect()
        };
        for (width, big) in [(8, false), (8, true), (4, false), (4, true)] {
            assert_eq!(told_to_programs(&vector(width, big)), Some((16_384, 100)));
        }
        assert_eq!(
            told_to_programs(b"not one at all, but long enough for pairs"),
            None
        );
        let own = std::fs::read("/proc/self/auxv").expect("a process has one");
        let page_bytes = u32::try_from(rustix::param::page_size()).expect("small");
        assert_eq!(told_to_programs(&own).map(|told| told.0), Some(page_bytes));
    }
}
