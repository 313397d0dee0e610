//! Pictures that wait to be written: as many as fit into a bounded memory, and thinned when it is full.
//!
//! What waits longest loses first, but never all: every second picture is merged into the next one,
//! so that an outage of any length is there as a whole, the longer it lasts the coarser. A picture
//! that holds only what changed is merged, not dropped, and what happened is told with the next one.

use std::collections::VecDeque;

use memsoak_schema::{Happening, TickCost};

use super::collector::{Picture, Taken};

/// What the waiting pictures may take. Measured on the made-up reference load (1,125 processes) a
/// picture takes 0.11 MiB, so that about 75 wait in full: twelve minutes at 10 s, in a memory that a
/// board of 512 MiB can spare.
pub(super) const RING_BYTES: usize = 8 << 20;

/// Of what the recorder noticed during an outage the first ones are told: as many as of a source
/// ([`Rows`](memsoak_schema::Rows) keeps 256 of its happenings).
const MOST_NOTICED: usize = 256;

/// A picture that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) picture: Picture,
    /// What reading it cost.
    pub(super) cost: TickCost,
    /// How many pictures were merged into it.
    pub(super) left_out: i64,
    bytes: usize,
}

impl Waiting {
    /// Gives the picture's room to grow back: many of them may have to wait.
    pub(super) fn new(mut picture: Picture, cost: TickCost, shrink: bool) -> Self {
        if shrink {
            for taken in &mut picture.taken {
                taken.rows.shrink();
            }
        }
        let bytes = bytes_of(&picture);
        Self {
            picture,
            cost,
            left_out: 0,
            bytes,
        }
    }

    /// Takes over an earlier picture.
    fn absorb(&mut self, earlier: Self) {
        self.left_out += earlier.left_out + 1;
        self.cost.cpu_us += earlier.cost.cpu_us;
        self.picture.time.missed += earlier.picture.time.missed;
        let later = std::mem::replace(&mut self.picture.noticed, earlier.picture.noticed);
        self.picture.noticed.extend(later);
        self.picture.noticed.truncate(MOST_NOTICED);
        for taken in earlier.picture.taken {
            let places = &mut self.picture.taken;
            match places.binary_search_by_key(&taken.place, |later| later.place) {
                Ok(at) => absorb(&mut places[at], taken),
                Err(at) => places.insert(at, taken),
            }
        }
        self.bytes = bytes_of(&self.picture);
    }
}

/// The later sample counts; but one without values does not take away what there was.
fn absorb(later: &mut Taken, mut earlier: Taken) {
    if !earlier.state.status.has_values() {
        earlier.rows.clear();
        earlier.rows.set_incremental();
    } else if !later.state.status.has_values() {
        later.rows.clear();
        later.rows.set_incremental();
        later.state = earlier.state;
    }
    later.rows.absorb(earlier.rows);
    later.plan = later.plan.take().or(earlier.plan);
}

fn bytes_of(picture: &Picture) -> usize {
    let of_rows: usize = picture
        .taken
        .iter()
        .map(|taken| taken.rows.memory_bytes())
        .sum();
    // What was noticed is a sentence each.
    let noticed: usize = picture
        .noticed
        .iter()
        .map(|one| size_of::<Happening>() + one.text.len())
        .sum();
    of_rows + noticed + picture.taken.capacity() * size_of::<Taken>() + size_of::<Waiting>()
}

/// What waits, in order of time.
#[derive(Debug)]
pub(super) struct Ring {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many pictures were merged into the ones that wait.
    pub(super) fn left_out(&self) -> i64 {
        self.waiting.iter().map(|waiting| waiting.left_out).sum()
    }

    /// Adds the newest. Returns how many had to be merged for it.
    pub(super) fn push(&mut self, waiting: Waiting) -> u64 {
        self.bytes += waiting.bytes;
        self.waiting.push_back(waiting);
        self.keep_within()
    }

    /// Takes the oldest: one, and more as long as they take no more than this many bytes together.
    pub(super) fn take(&mut self, most_bytes: usize) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front()
            && (taken.is_empty() || bytes + next.bytes <= most_bytes)
        {
            bytes += next.bytes;
            taken.extend(self.waiting.pop_front());
        }
        self.bytes -= bytes;
        taken
    }

    /// Puts back what was taken and could not be written. Returns how many had to be merged.
    pub(super) fn put_back(&mut self, taken: Vec<Waiting>) -> u64 {
        for waiting in taken.into_iter().rev() {
            self.bytes += waiting.bytes;
            self.waiting.push_front(waiting);
        }
        self.keep_within()
    }

    fn keep_within(&mut self) -> u64 {
        let mut merged = 0;
        while self.bytes > self.limit && self.waiting.len() > 2 {
            merged += self.thin();
        }
        merged
    }

    /// Merges every second picture into the next one. The oldest stays as it is: it shows what was
    /// when the trouble began.
    fn thin(&mut self) -> u64 {
        let before = self.waiting.len();
        let mut kept = VecDeque::with_capacity(before / 2 + 2);
        let mut carried: Option<Waiting> = None;
        for (at, mut waiting) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            if let Some(earlier) = carried.take() {
                waiting.absorb(earlier);
                kept.push_back(waiting);
            } else if at == 0 || at + 1 == before {
                kept.push_back(waiting);
            } else {
                carried = Some(waiting);
            }
        }
        self.waiting = kept;
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        (before - self.waiting.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use memsoak_schema::{Rows, SampleState, Status, TickTime, Value};

    use super::*;

    /// A picture of two sources: the first whole, the second only what changed at every third one.
    fn picture(second: i64) -> Waiting {
        let state = |status| SampleState {
            status,
            reason: None,
            read_us: Some(1),
            bytes: None,
        };
        let mut whole = Rows::default();
        whole.scalar(b"MemFree", second);
        whole.happened(Happening::new("mark", second.to_string().as_bytes()));
        let mut changes = Rows::default();
        changes.set_incremental();
        if second % 3 == 0 {
            let key = format!("process {second}");
            changes.entity(key.as_bytes(), b"hog", &[Value::Int(second)]);
        }
        let failed = second % 2 == 1;
        let status = if failed { Status::Failed } else { Status::Ok };
        let taken = |place, status, rows| Taken {
            place,
            state: state(status),
            rows,
            plan: None,
        };
        let picture = Picture {
            time: TickTime {
                boottime_us: second * 1_000_000,
                missed: i64::from(second == 5),
                ..TickTime::default()
            },
            begin_cpu_us: 0,
            taken: vec![taken(0, status, whole), taken(1, Status::Ok, changes)],
            noticed: (second % 8 == 0)
                .then(|| Happening::new("noticed", second.to_string().as_bytes()))
                .into_iter()
                .collect(),
        };
        Waiting::new(picture, TickCost::default(), true)
    }

    #[test]
    fn a_full_ring_stays_within_its_bytes_and_holds_all_of_the_time_and_all_changes() {
        let one = picture(3).bytes;
        let mut ring = Ring::new(one * 10);
        let mut merged = 0;
        for second in 0..40 {
            merged += ring.push(picture(second));
            assert!(ring.bytes <= ring.limit);
        }
        let left_out = ring.left_out();
        assert_eq!(left_out.unsigned_abs(), merged);
        let all = ring.take(usize::MAX);
        assert!(ring.is_empty() && ring.bytes == 0);
        assert_eq!(all.len() as i64 + left_out, 40);
        let at: Vec<i64> = all
            .iter()
            .map(|waiting| waiting.picture.time.boottime_us / 1_000_000)
            .collect();
        assert_eq!((at[0], at[at.len() - 1]), (0, 39));
        // Each is as far from the one before as pictures were merged into it.
        for (pair, waiting) in at.windows(2).zip(&all[1..]) {
            assert_eq!(pair[1] - pair[0] - 1, waiting.left_out);
        }
        let rows = |place: usize| all.iter().map(move |one| &one.picture.taken[place].rows);
        let changed: usize = rows(1).map(Rows::len).sum();
        assert_eq!(changed, 14, "no change is lost");
        let text = |one: &Happening| String::from_utf8_lossy(&one.text).into_owned();
        let told: Vec<String> = rows(0)
            .flat_map(|rows| rows.happenings().0)
            .map(text)
            .collect();
        let noticed = all.iter().flat_map(|one| &one.picture.noticed);
        let expected: Vec<String> = (0..40).map(|second| second.to_string()).collect();
        assert_eq!(told, expected, "each is told once and in order");
        assert_eq!(
            noticed.map(text).collect::<Vec<_>>(),
            ["0", "8", "16", "24", "32"]
        );
        let missed: i64 = all.iter().map(|one| one.picture.time.missed).sum();
        assert_eq!(missed, 1);
    }

    #[test]
    fn a_failed_sample_does_not_take_away_the_values_of_the_one_before() {
        let mut later = picture(7);
        later.absorb(picture(6));
        let whole = &later.picture.taken[0];
        assert_eq!(whole.state.status, Status::Ok);
        assert_eq!(whole.rows.value_of(b"MemFree"), Some(Value::Int(6)));
        assert!(!whole.rows.is_incremental());

        let mut later = picture(8);
        later.absorb(picture(7));
        let whole = &later.picture.taken[0];
        assert_eq!(whole.rows.value_of(b"MemFree"), Some(Value::Int(8)));
        assert_eq!(whole.rows.happenings().0.len(), 2);
    }

    #[test]
    fn what_is_put_back_comes_first_again() {
        let mut ring = Ring::new(usize::MAX);
        for second in 0..3 {
            ring.push(picture(second));
        }
        let taken = ring.take(0);
        assert_eq!(taken.len(), 1);
        ring.push(picture(3));
        ring.put_back(taken);
        let at: Vec<i64> = ring
            .take(usize::MAX)
            .iter()
            .map(|one| one.picture.time.boottime_us)
            .collect();
        assert_eq!(at, [0, 1_000_000, 2_000_000, 3_000_000]);
    }
}
