//! The pages of a damaged file, without SQLite: each as its newest whole version, from the log where
//! it stands there.
//!
//! <https://www.sqlite.org/fileformat2.html>, sections 1.2 to 1.6 and 4.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::leaf;

/// What recorders write; tried first where the header does not say.
const USUAL_PAGE_BYTES: usize = 1024;

/// Pages that are looked at to find out how long they are.
const PROBES: u64 = 256;

const HEADER: &[u8; 16] = b"SQLite format 3\0";
const LOG_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// A file as numbered pages, the first being 1.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    page_bytes: usize,
    count: u32,
    log: Option<File>,
    in_log: BTreeMap<u32, u64>,
    /// Pages that hold nothing any more: what still stands there was deleted.
    free: BTreeSet<u32>,
    /// Bytes of further pages of long rows that may still be read: many rows can name the same ones.
    left: Cell<u64>,
    /// `user_version`, where the header is one.
    pub(super) version: Option<u32>,
    /// How many pages the header says there are, where it says so.
    pub(super) claimed: Option<u32>,
}

impl Pages {
    /// Opens a file, and the log beside it where there is one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut log_path = path.as_os_str().to_owned();
        log_path.push("-wal");
        let log = File::open(log_path).ok();
        let mut pages = Self {
            file,
            page_bytes: USUAL_PAGE_BYTES,
            count: 0,
            log,
            in_log: BTreeMap::new(),
            free: BTreeSet::new(),
            left: Cell::new((64 << 20) + 16 * bytes),
            version: None,
            claimed: None,
        };
        pages.page_bytes = pages.find_page_bytes(bytes)?;
        let of_file = bytes.div_ceil(pages.page_bytes as u64);
        pages.count = u32::try_from(of_file).unwrap_or(u32::MAX);
        pages.read_log()?;
        let mut first = Vec::new();
        pages.read(1, &mut first)?;
        if first.starts_with(HEADER) {
            pages.version = be32(&first, 60);
            pages.claimed = be32(&first, 28).filter(|count| *count > 0);
        }
        pages.free = pages.find_free()?;
        Ok(pages)
    }

    /// The pages that the list of free pages names (section 1.5), with its own. They are known by their
    /// looks, since the header that says where the list begins may be damaged: a page of the list is a
    /// number of a page or 0, a count, and as many numbers of pages.
    fn find_free(&self) -> io::Result<BTreeSet<u32>> {
        let mut free = BTreeSet::new();
        let mut page = Vec::new();
        for trunk in 2..=self.count {
            self.read(trunk, &mut page)?;
            if let Some(leaves) = self.listed_free(&page) {
                free.extend(leaves);
                free.insert(trunk);
            }
        }
        Ok(free)
    }

    fn listed_free(&self, page: &[u8]) -> Option<BTreeSet<u32>> {
        let count = usize::try_from(be32(page, 4)?).ok()?;
        if be32(page, 0)? > self.count || count == 0 {
            return None;
        }
        let numbers = page.get(8..8 + count.checked_mul(4)?)?.chunks_exact(4);
        let listed: BTreeSet<u32> = numbers
            .filter_map(|number| be32(number, 0))
            .filter(|number| (2..=self.count).contains(number))
            .collect();
        (listed.len() == count).then_some(listed)
    }

    /// How many pages there are.
    pub(super) fn count(&self) -> u64 {
        u64::from(self.count) + self.beyond().count() as u64
    }

    /// The pages that hold something: those of the file, and those that only the log has.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (1..=self.count)
            .filter(|number| !self.free.contains(number))
            .chain(self.beyond())
    }

    fn beyond(&self) -> impl Iterator<Item = u32> + '_ {
        let from = self.count.saturating_add(1);
        self.in_log.range(from..).map(|(number, _)| *number)
    }

    /// Reads a further page of a long row; `None` where there is none, or too many were read.
    pub(super) fn read_further(&self, number: u32, page: &mut Vec<u8>) -> Option<()> {
        let is_there = (2..=self.count).contains(&number) || self.in_log.contains_key(&number);
        let left = self.left.get().checked_sub(self.page_bytes as u64)?;
        if !is_there {
            return None;
        }
        self.left.set(left);
        self.read(number, page).ok()
    }

    pub(super) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Reads a page; what is beyond the end of the file is zero.
    pub(super) fn read(&self, number: u32, page: &mut Vec<u8>) -> io::Result<()> {
        page.clear();
        page.resize(self.page_bytes, 0);
        if let (Some(log), Some(at)) = (&self.log, self.in_log.get(&number)) {
            return read_as_far(log, page, *at);
        }
        let at = u64::from(number.saturating_sub(1)) * self.page_bytes as u64;
        read_as_far(&self.file, page, at)
    }

    /// The length at which most of what is there reads as pages of a table.
    fn find_page_bytes(&self, bytes: u64) -> io::Result<usize> {
        let mut head = vec![0; 100];
        read_as_far(&self.file, &mut head, 0)?;
        let mut best = (0, USUAL_PAGE_BYTES);
        for shift in [10_u32, 12, 9, 11, 13, 14, 15, 16] {
            let length = 1_usize << shift;
            let there = bytes / length as u64;
            let stride = (there / PROBES).max(1);
            let mut page = vec![0; length];
            let probes = there.min(PROBES);
            let mut well = 0;
            for probe in 0..probes {
                read_as_far(&self.file, &mut page, probe * stride * length as u64)?;
                // SQLite fills a page from its end.
                let cells = leaf::cells(&page, leaf::header_at(probe == 0));
                well +=
                    u64::from(cells.is_some_and(|cells| cells.bad == 0 && cells.end() == length));
            }
            // A short file has few pages to judge by; what its header says then decides.
            let said = usize::from(be16(&head, 16)) == length % 65_536 + usize::from(shift == 16);
            let score = 1000 * well / probes.max(1) + 50 * u64::from(said);
            if score > best.0 {
                best = (score, length);
            }
        }
        Ok(best.1)
    }

    /// Takes up the frames of the log that are whole and committed. A frame is checked from what
    /// stands in the one before it, so that one that is damaged does not end the log.
    fn read_log(&mut self) -> io::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut header = vec![0; LOG_HEADER_BYTES];
        read_as_far(log, &mut header, 0)?;
        let big_endian = match be32(&header, 0) {
            Some(0x377f_0682) => false,
            Some(0x377f_0683) => true,
            _ => return Ok(()),
        };
        let length = be32(&header, 8).map_or(0, |length| length as usize);
        if !length.is_power_of_two() || !(512..=65_536).contains(&length) {
            return Ok(());
        }
        if checksum(&header[..24], (0, 0), big_endian) != pair(&header, 24) {
            return Ok(());
        }
        self.page_bytes = length;
        let salts = pair(&header, 16);
        let mut before = pair(&header, 24);
        let mut frame = vec![0; FRAME_HEADER_BYTES + length];
        let mut open: Vec<(u32, u64)> = Vec::new();
        let end = log.metadata()?.len();
        let mut at = LOG_HEADER_BYTES as u64;
        while at + frame.len() as u64 <= end {
            read_as_far(log, &mut frame, at)?;
            if pair(&frame, 8) != salts {
                break; // left by an earlier round of the log
            }
            let sum = checksum(&frame[..8], before, big_endian);
            let sum = checksum(&frame[FRAME_HEADER_BYTES..], sum, big_endian);
            before = pair(&frame, 16);
            let number = be32(&frame, 0).unwrap_or(0);
            // No more than a hole in a file can claim: 1 TiB of pages of 1 KiB.
            if sum == before && (1..1 << 30).contains(&number) {
                open.push((number, at + FRAME_HEADER_BYTES as u64));
                if be32(&frame, 4) != Some(0) {
                    self.in_log.extend(open.drain(..));
                }
            }
            at += frame.len() as u64;
        }
        Ok(())
    }
}

fn read_as_far(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer[done..].fill(0);
    Ok(())
}

pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(&[a, b]) => u16::from_be_bytes([a, b]),
        _ => 0,
    }
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}

fn pair(bytes: &[u8], at: usize) -> (u32, u32) {
    (
        be32(bytes, at).unwrap_or(0),
        be32(bytes, at + 4).unwrap_or(0),
    )
}

/// The checksum of the log, section 4.2 of the format.
fn checksum(bytes: &[u8], (mut a, mut b): (u32, u32), big_endian: bool) -> (u32, u32) {
    let word = |four: &[u8]| {
        let four = four.try_into().unwrap_or_default();
        if big_endian {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        }
    };
    for eight in bytes.chunks_exact(8) {
        a = a.wrapping_add(word(&eight[..4])).wrapping_add(b);
        b = b.wrapping_add(word(&eight[4..])).wrapping_add(a);
    }
    (a, b)
}
