//! The clocks, and the moments of the ticks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

fn micros(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// CLOCK_BOOTTIME in us: goes on through suspend, and nobody sets it.
pub fn boottime_us() -> i64 {
    micros(ClockId::Boottime)
}

/// Wall time minus boot time, in us.
pub fn wall_offset_us() -> i64 {
    micros(ClockId::Realtime) - boottime_us()
}

/// CPU time of this process, in us.
pub fn cpu_us() -> i64 {
    micros(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread, in us.
pub fn thread_cpu_us() -> i64 {
    micros(ClockId::ThreadCPUTime)
}

/// The moments `start + k * interval`: a slow tick does not move the next ones.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    start_us: i64,
    interval_us: i64,
    next: i64,
}

/// A moment that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its number, from 0.
    pub index: i64,
    /// How late it is, in us.
    pub late_us: i64,
    /// How many moments before it passed unused.
    pub missed: i64,
}

impl Deadlines {
    /// The first moment is `start_us` itself.
    pub fn new(start_us: i64, interval_us: i64) -> Self {
        Self {
            start_us,
            interval_us,
            next: 0,
        }
    }

    /// The next moment, in us of CLOCK_BOOTTIME.
    pub fn next_us(&self) -> i64 {
        self.start_us + self.next * self.interval_us
    }

    /// Takes the newest moment that has come by `now_us`; those before it are missed.
    pub fn take(&mut self, now_us: i64) -> Due {
        let late = (now_us - self.next_us()).max(0);
        let missed = late / self.interval_us;
        let index = self.next + missed;
        self.next = index + 1;
        Due {
            index,
            late_us: late - missed * self.interval_us,
            missed,
        }
    }
}

/// Sleeps until a moment of CLOCK_BOOTTIME or until a descriptor has something to read.
#[derive(Debug)]
pub struct Alarm {
    timer: OwnedFd,
}

impl Alarm {
    /// Makes the timer.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> Result<Self, Errno> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self {
            timer: timerfd_create(TimerfdClockId::Boottime, flags)?,
        })
    }

    /// Returns true when the moment has come, false when `stop` became readable before.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait_until(&self, at_us: i64, stop: BorrowedFd<'_>) -> Result<bool, Errno> {
        let at = Duration::from_micros(at_us.max(1).unsigned_abs());
        let value = Timespec::try_from(at).map_err(|_| Errno::INVAL)?;
        let timer = Itimerspec {
            it_interval: Timespec::default(),
            it_value: value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &timer)?;
        let timer = self.timer.as_fd();
        loop {
            let mut fds = [
                PollFd::new(&timer, PollFlags::IN),
                PollFd::new(&stop, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            if !fds[1].revents().is_empty() {
                return Ok(false);
            }
            if !fds[0].revents().is_empty() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_tick_moves_no_later_moment_and_what_passed_is_counted() {
        let mut deadlines = Deadlines::new(1_000, 100);
        let due = |index, late_us, missed| Due {
            index,
            late_us,
            missed,
        };
        assert_eq!(deadlines.take(1_000), due(0, 0, 0));
        assert_eq!(deadlines.take(1_130), due(1, 30, 0));
        assert_eq!(deadlines.next_us(), 1_200);
        // 1,200, 1,300 and 1,400 have come by 1,450: the first two are lost.
        assert_eq!(deadlines.take(1_450), due(4, 50, 2));
        assert_eq!(deadlines.next_us(), 1_500);
    }
}
