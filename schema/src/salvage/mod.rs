//! What a torn, cut or altered recording still gives, as a new recording that is whole.
//!
//! The damaged file is not opened as a database: each of its pages is looked at by itself, so that
//! what one page has lost costs the rows of that page. What is believed of them the digests of the
//! samples say; the rest is failed samples and `gap` events.

mod catalogue;
mod leaf;
mod pages;
mod picture;
mod scrub;
mod sort;
mod stream;
mod weave;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::Error;
use crate::file::{self, Context, Durability};
use pages::Pages;
use sort::{Kinds, Places};

/// How much of a damaged recording there is, and how much is missing.
#[derive(Clone, Debug, Default)]
pub struct Salvaged {
    /// Format of the damaged file, where its header says so.
    pub format: Option<u32>,
    /// Pages that there are, and that there were where the header says so.
    pub pages: (u64, Option<u64>),
    /// Ticks that are kept.
    pub ticks: u64,
    /// Ticks that are missing between them.
    pub ticks_lost: u64,
    /// Rows that stood in readable pages and cannot be.
    pub rows_unreadable: u64,
    /// Rows of the catalogue that had to be made up: runs and boots whose own are lost.
    pub made_up: u64,
    /// Whether the samples could be checked by their digests; not in recordings of older formats.
    pub checked: bool,
    /// The sources, in the order of their numbers.
    pub sources: Vec<SalvagedSource>,
    /// Stretches of time that are missing, in order.
    pub stretches: Vec<Stretch>,
}

/// What there is of one source.
#[derive(Clone, Debug, Default)]
pub struct SalvagedSource {
    /// Its name.
    pub name: String,
    /// Samples with values that are kept.
    pub samples: u64,
    /// Samples with values that are lost or cannot be believed.
    pub samples_lost: u64,
    /// Rows that are kept.
    pub rows: u64,
    /// Rows that the samples say there were and that were not found.
    pub rows_lost: u64,
}

/// A time of which a source has nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The source; `None`: no ticks at all.
    pub source: Option<String>,
    /// The boot.
    pub boot: i64,
    /// From here, CLOCK_BOOTTIME in us.
    pub from_us: i64,
    /// To here.
    pub to_us: i64,
    /// Samples, or ticks, that are missing.
    pub missing: u64,
}

/// Writes what a damaged recording still gives into a new one (mode 0600). With `scrub` names of
/// machines, users and command lines are left out.
///
/// # Errors
/// When the damaged file cannot be read, is of a newer format, holds nothing of a recording, or the
/// new one exists already or cannot be written.
pub fn salvage(from: &Path, to: &Path, scrub: bool) -> Result<Salvaged, Error> {
    let cannot_open = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Open { path, source }
    };
    let pages = Pages::open(from).map_err(cannot_open(from))?;
    // A header that is damaged names any version; a program that is newer by so much is not there.
    if let Some(found) = pages.version
        && (file::newest_version() + 1..file::newest_version() + 50).contains(&found)
    {
        return Err(Error::Newer {
            path: from.to_owned(),
            found,
            known: file::newest_version(),
        });
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(cannot_open(to))?;
    let done = fill(from, &pages, to, scrub);
    if done.is_err() {
        let _ = std::fs::remove_file(to);
    }
    done
}

fn fill(from: &Path, pages: &Pages, to: &Path, scrub: bool) -> Result<Salvaged, Error> {
    let what = "writing what is left";
    let connection = file::open_to_write(to, Durability::WhenClosed)?;
    let mut kinds = Kinds::of_formats().context(to, what)?;
    let mut places = Places::find(pages);
    let mut salvaged = Salvaged {
        format: pages.version,
        pages: (pages.count(), pages.claimed.map(u64::from)),
        ..Salvaged::default()
    };
    connection.execute_batch("BEGIN").context(to, what)?;
    let kept =
        catalogue::write(&connection, pages, &places, &mut kinds, scrub).context(to, what)?;
    salvaged.made_up = kept.made_up;
    places.find_of_ticks(pages, &kinds);
    salvaged.rows_unreadable = places.bad_rows + kept.refused;
    weave::write(
        &connection,
        pages,
        places,
        &kinds,
        &kept,
        from,
        &mut salvaged,
    )
    .context(to, what)?;
    connection.execute_batch("COMMIT").context(to, what)?;
    if salvaged.ticks == 0 {
        return Err(Error::NotARecording {
            path: from.to_owned(),
            what: "no tick of one was found in it".to_owned(),
        });
    }
    connection
        .close()
        .map_err(|(_, source)| source)
        .context(to, "closing the file")?;
    Ok(salvaged)
}
