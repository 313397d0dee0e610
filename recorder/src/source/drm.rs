//! `/proc/PID/fdinfo`: memory that graphics drivers hold for each process, by region.

#![deny(clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::MaybeUninit;

use memsoak_schema::{Label, MetricSpec, Rows, Shape, Spec, Status, Trend, Unit, Value};
use rustix::fs::RawDir;
use rustix::io::Errno;

use super::text::{parse_u64, split_once, words};
use super::turn::Turn;
use super::{Moment, Outcome, Sampler, Setup, files};
use crate::root::{Root, read_whole};

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "drm",
    paths: &["proc/PID/fdinfo"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("clients", Unit::Count).judged(Trend::Count),
            MetricSpec::gauge("total_bytes", Unit::Bytes),
            MetricSpec::gauge("shared_bytes", Unit::Bytes),
            MetricSpec::gauge("resident_bytes", Unit::Bytes).judged(Trend::Memory),
            MetricSpec::gauge("purgeable_bytes", Unit::Bytes),
            MetricSpec::gauge("active_bytes", Unit::Bytes),
        ],
    },
    interval_s: 60,
    needs: "a driver that tells (i915, xe, amdgpu, msm, panfrost, panthor, v3d, ...; most since Linux \
        6.5), and CAP_SYS_PTRACE for other users' processes",
    caveats: "A row is a process, a device and a region of memory; clients of one process are added up. \
        A client that several processes hold counts with the one that started first. Buffers that two \
        clients share count with both (shared_bytes). resident_bytes are NULL where a driver tells \
        totals only. What the regions are made of is the driver's: of system memory it stands in \
        Shmem or in no class of meminfo, of the device's own in neither. A process is found to hold a \
        device when its turn comes, within ten samples.",
    overhead: "nothing where there is no device; else 0.7 us a process for a listing, 6 us for each \
        of the tenth whose turn it is and 3.5 us for each of its descriptors, and 10 us for each \
        descriptor of a device.",
};

/// Descriptors of a process that are looked at: one with more has few of a device at its end.
const MOST_LINKS: usize = 1_024;
/// Descriptors of devices that are read for a process.
const MOST_FDS: usize = 256;

/// What a driver says of one region, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Size of all buffers, also those that have no memory now.
    pub total: Option<u64>,
    /// Of that what other clients hold too.
    pub shared: Option<u64>,
    /// What has memory.
    pub resident: Option<u64>,
    /// Of that what may be taken away.
    pub purgeable: Option<u64>,
    /// Of that what the device works on.
    pub active: Option<u64>,
}

/// What one descriptor of a device says (Documentation/gpu/drm-usage-stats.rst).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client<'a> {
    /// The driver (`i915`).
    pub driver: &'a [u8],
    /// The device's place on the PCI bus; empty where it is on none.
    pub pdev: &'a [u8],
    /// Descriptors of one number are one client.
    pub id: u64,
    /// Its memory by region (`system0`, `vram0`).
    pub regions: BTreeMap<&'a [u8], Region>,
}

/// Parses the fdinfo of a descriptor; `None` where it is none of a device that tells.
pub fn parse_fdinfo(text: &[u8]) -> Option<Client<'_>> {
    let mut client = Client::default();
    let mut id = None;
    let whole = text.split_inclusive(|byte| *byte == b'\n');
    for line in whole.filter_map(|line| line.strip_suffix(b"\n")) {
        let Some((key, value)) = split_once(line, b':') else {
            continue;
        };
        let Some(key) = key.strip_prefix(b"drm-") else {
            continue;
        };
        let value = value.trim_ascii();
        match key {
            b"driver" => client.driver = value,
            b"pdev" => client.pdev = value,
            b"client-id" => id = parse_u64(value),
            _ => client.take_memory(key, value),
        }
    }
    client.id = id?;
    (!client.driver.is_empty()).then_some(client)
}

impl<'a> Client<'a> {
    fn take_memory(&mut self, key: &'a [u8], value: &[u8]) {
        let Some((kind, region)) = split_once(key, b'-') else {
            return;
        };
        // `drm-memory-` is the older name of what is resident.
        let slot: fn(&mut Region) -> &mut Option<u64> = match kind {
            b"total" => |region| &mut region.total,
            b"shared" => |region| &mut region.shared,
            b"resident" | b"memory" => |region| &mut region.resident,
            b"purgeable" => |region| &mut region.purgeable,
            b"active" => |region| &mut region.active,
            _ => return, // engines, cycles, frequencies
        };
        if let Some(bytes) = bytes_of(value) {
            *slot(self.regions.entry(region).or_default()) = Some(bytes);
        }
    }
}

/// `6044 KiB`, `3 MiB`, or bytes.
fn bytes_of(value: &[u8]) -> Option<u64> {
    let mut words = words(value);
    let number = parse_u64(words.next()?)?;
    let unit = match words.next() {
        None => 1,
        Some(b"KiB") => 1 << 10,
        Some(b"MiB") => 1 << 20,
        Some(_) => return None,
    };
    number.checked_mul(unit)
}

/// What a process holds of a device and region.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    clients: u64,
    region: Region,
}

/// Driver, device, region.
type Place = (Vec<u8>, Vec<u8>, Vec<u8>);

/// A device, and the number of a client of it.
type Number = (Vec<u8>, u64);

/// A process that holds a device.
#[derive(Debug)]
struct Holder {
    pid: u32,
    start_ticks: u64,
    key: Vec<u8>,
    comm: Vec<u8>,
    clients: BTreeMap<Number, Vec<(Place, Region)>>,
}

#[derive(Default)]
struct Drm {
    turn: Turn,
    holders: BTreeSet<u32>,
    buffer: Vec<u8>,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Drm::default())
}

impl Sampler for Drm {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let root = moment.root;
        if !has_device(root) {
            let reason = "dev/dri and dev/accel: no such device on this machine".to_owned();
            return Outcome::nothing((Status::Unavailable, reason));
        }
        if let Err(error) = self.turn.list(root) {
            return files::no_processes(error);
        }
        let known = &self.turn.known;
        self.holders.retain(|pid| known.contains_key(pid));
        let mut looked_at: BTreeSet<u32> = self.turn.take().into_iter().collect();
        looked_at.extend(&self.holders);
        let mut denied = false;
        let mut bytes = 0;
        let mut holders: HashMap<u32, Holder> = HashMap::new();
        for pid in looked_at {
            match descriptors(root, pid) {
                Ok(numbers) if numbers.is_empty() => {
                    self.holders.remove(&pid);
                }
                Ok(numbers) => {
                    self.holders.insert(pid);
                    let holder = self.read_holder(root, pid, &numbers, &mut bytes);
                    holders.extend(holder.map(|holder| (pid, holder)));
                }
                Err(error) => {
                    denied |= matches!(error, Errno::ACCESS | Errno::PERM);
                    self.holders.remove(&pid);
                }
            }
        }
        put(holders.into_values().collect(), rows);
        let reason = denied.then(|| files::SOME_DENIED.to_owned());
        Outcome::obtained(reason, bytes)
    }
}

impl Drm {
    fn read_holder(
        &mut self,
        root: &Root,
        pid: u32,
        numbers: &[u32],
        bytes: &mut u64,
    ) -> Option<Holder> {
        let mut clients = BTreeMap::new();
        for number in numbers {
            let read = root
                .open_file(&format!("proc/{pid}/fdinfo/{number}"))
                .and_then(|file| read_whole(&file, &mut self.buffer));
            if read.is_err() {
                continue; // closed meanwhile
            }
            *bytes += self.buffer.len() as u64;
            let Some(client) = parse_fdinfo(&self.buffer) else {
                continue;
            };
            let place = |region: &[u8]| {
                let parts = [client.driver, client.pdev, region];
                let [driver, pdev, region] = parts.map(<[u8]>::to_vec);
                (driver, pdev, region)
            };
            let regions = client.regions.iter();
            let regions: Vec<_> = regions.map(|(name, what)| (place(name), *what)).collect();
            let device = [client.driver, b" ", client.pdev].concat();
            clients.insert((device, client.id), regions);
        }
        if clients.is_empty() {
            return None;
        }
        let (key, comm) = self.turn.identity(root, pid)?;
        let start = split_once(&key, b'.').and_then(|(_, start)| parse_u64(start));
        Some(Holder {
            pid,
            start_ticks: start?,
            key,
            comm,
            clients,
        })
    }
}

/// Whether there is a device at all.
fn has_device(root: &Root) -> bool {
    ["dev/dri", "dev/accel"]
        .iter()
        .any(|folder| root.stat(folder).is_some())
}

/// The descriptors of a process that are of devices.
fn descriptors(root: &Root, pid: u32) -> Result<Vec<u32>, Errno> {
    let folder = root.open_dir(format!("proc/{pid}/fd"))?;
    let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
    let mut target = [MaybeUninit::uninit(); 32];
    let mut entries = RawDir::new(&folder, &mut buffer);
    let mut found = Vec::new();
    let mut links = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        let number = std::str::from_utf8(name.to_bytes()).ok();
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            continue;
        };
        links += 1;
        if links > MOST_LINKS || found.len() >= MOST_FDS {
            break;
        }
        match rustix::fs::readlinkat_raw(&folder, name, &mut target) {
            Ok((link, _)) if is_device(link) => found.push(number),
            Err(error @ (Errno::ACCESS | Errno::PERM)) => return Err(error),
            _ => {}
        }
    }
    Ok(found)
}

fn is_device(link: &[u8]) -> bool {
    link.starts_with(b"/dev/dri/") || link.starts_with(b"/dev/accel/")
}

/// The rows of all holders. Each client counts once: with the process that started first.
fn put(mut holders: Vec<Holder>, rows: &mut Rows) {
    holders.sort_unstable_by_key(|holder| (holder.start_ticks, holder.pid));
    let mut counted: BTreeSet<Number> = BTreeSet::new();
    for holder in holders {
        let mut sums: BTreeMap<Place, Sum> = BTreeMap::new();
        for (client, regions) in holder.clients {
            if !counted.insert(client) {
                continue;
            }
            for (place, region) in regions {
                sums.entry(place).or_default().add(&region);
            }
        }
        for ((driver, pdev, name), sum) in &sums {
            let device: Vec<&[u8]> = [driver, pdev, name]
                .into_iter()
                .filter(|part| !part.is_empty())
                .map(Vec::as_slice)
                .collect();
            let device = device.join(&b' ');
            let key = [holder.key.as_slice(), b".", &device].concat();
            rows.entity(&key, &holder.comm, &sum.values());
            rows.label("pid", Label::Int(i64::from(holder.pid)));
            rows.label("file", Label::Bytes(&device));
            rows.label("driver", Label::Bytes(driver));
            rows.label("region", Label::Bytes(name));
        }
    }
}

impl Sum {
    fn add(&mut self, other: &Region) {
        let add = |sum: &mut Option<u64>, more: Option<u64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        };
        self.clients += 1;
        add(&mut self.region.total, other.total);
        add(&mut self.region.shared, other.shared);
        add(&mut self.region.resident, other.resident);
        add(&mut self.region.purgeable, other.purgeable);
        add(&mut self.region.active, other.active);
    }

    fn values(&self) -> [Value; 6] {
        let region = &self.region;
        [
            Some(self.clients),
            region.total,
            region.shared,
            region.resident,
            region.purgeable,
            region.active,
        ]
        .map(Value::from)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that fails may panic"
    )]

    use super::super::fixtures::values;
    use super::super::made_up::MadeUp;
    use super::*;

    /// In the form of the example in proc_pid_fdinfo(5).
    fn i915(client: u64, resident_kib: u64) -> String {
        format!(
            "pos:\t0\nflags:\t02100002\nmnt_id:\t26\nino:\t284\ndrm-driver:\ti915\n\
             drm-client-id:\t{client}\ndrm-pdev:\t0000:00:02.0\n\
             drm-total-system0:\t{} KiB\ndrm-shared-system0:\t0\ndrm-active-system0:\t0\n\
             drm-resident-system0:\t{resident_kib} KiB\ndrm-purgeable-system0:\t1688 KiB\n\
             drm-total-stolen-system0:\t0\ndrm-resident-stolen-system0:\t0\n\
             drm-engine-render:\t346249 ns\ndrm-engine-capacity-video:\t2\n",
            resident_kib + 4
        )
    }

    fn sample(drm: &mut Drm, machine: &MadeUp) -> (Rows, Outcome) {
        machine.sample(drm, false)
    }

    #[test]
    fn memory_is_told_by_region_in_any_unit_and_what_is_no_device_is_none() {
        let text = i915(39, 6044);
        let client = parse_fdinfo(text.as_bytes()).unwrap();
        assert_eq!((client.driver, client.id), (&b"i915"[..], 39));
        let system = client.regions[&b"system0"[..]];
        assert_eq!(system.total, Some(6048 << 10));
        assert_eq!(system.resident, Some(6044 << 10));
        assert_eq!(system.shared, Some(0));
        assert_eq!(client.regions.len(), 2);
        assert_eq!(client.regions[&b"stolen-system0"[..]].active, None);
        // amdgpu before the common names.
        let old = b"drm-driver:\tamdgpu\ndrm-client-id:\t7\ndrm-memory-vram:\t3 MiB\n";
        let client = parse_fdinfo(old).unwrap();
        assert_eq!(client.regions[&b"vram"[..]].resident, Some(3 << 20));
        assert_eq!(parse_fdinfo(b"pos:\t0\nflags:\t02\n"), None);
        assert_eq!(parse_fdinfo(b"drm-driver:\tvgem\n"), None);
    }

    #[test]
    fn clients_of_a_process_are_added_up_and_a_shared_one_counts_with_the_oldest() {
        let machine = MadeUp::new();
        machine.file("dev/dri/card0", "");
        for (pid, start) in [(7, 500), (8, 100)] {
            machine.process(pid, start, "browser", 300);
            machine.link(&format!("proc/{pid}/fd/0"), "/dev/null");
        }
        let open = |pid: u32, fd: u32, client: u64, kib: u64| {
            machine.link(&format!("proc/{pid}/fd/{fd}"), "/dev/dri/renderD128");
            machine.file(&format!("proc/{pid}/fdinfo/{fd}"), i915(client, kib));
        };
        open(7, 3, 1, 1000);
        open(7, 4, 1, 1000); // the same client by another descriptor
        open(7, 5, 2, 500);
        open(7, 6, 3, 64);
        open(8, 3, 3, 64);
        let mut drm = Drm::default();
        let (rows, outcome) = sample(&mut drm, &machine);
        assert_eq!(outcome.status, Status::Ok);
        let system = values(&rows, "7.500.i915 0000:00:02.0 system0");
        assert_eq!(system[0], Value::Int(2));
        assert_eq!(system[3], Value::Int(1500 << 10));
        let oldest = values(&rows, "8.100.i915 0000:00:02.0 system0");
        assert_eq!(oldest[3], Value::Int(64 << 10));
        assert_eq!(rows.len(), 4);
        assert_eq!(drm.holders.len(), 2);
        machine.end(8);
        let (rows, _) = sample(&mut drm, &machine);
        let system = values(&rows, "7.500.i915 0000:00:02.0 system0");
        assert_eq!(system[3], Value::Int(1564 << 10), "it has it alone now");
    }

    #[test]
    fn a_machine_without_a_device_is_a_state_and_costs_nothing() {
        let machine = MadeUp::new();
        let mut drm = Drm::default();
        let (_, outcome) = sample(&mut drm, &machine);
        assert_eq!(outcome.status, Status::Unavailable);
        assert_eq!(drm.turn.known.len(), 0);
    }
}
