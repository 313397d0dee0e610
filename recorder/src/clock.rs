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

/// CPU time of this process, in us.
pub fn cpu_us() -> i64 {
    micros(ClockId::ProcessCPUTime)
}

/// CPU time of this thread, in us.
pub fn thread_cpu_us() -> i64 {
    micros(ClockId::ThreadCPUTime)
}

/// What the clocks say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// CLOCK_BOOTTIME in us.
    pub boottime_us: i64,
    /// How long the machine was suspended since it booted, in us: CLOCK_BOOTTIME goes on meanwhile,
    /// CLOCK_MONOTONIC does not.
    pub suspended_us: i64,
    /// Wall time minus boot time, in us.
    pub wall_offset_us: i64,
}

impl Clocks {
    /// Reads them. They are read one after the other, so the recorder may lose the CPU in between:
    /// then once more.
    pub fn read() -> Self {
        let mut tries = 0;
        loop {
            let before = micros(ClockId::Monotonic);
            let boottime_us = boottime_us();
            let wall_us = micros(ClockId::Realtime);
            let monotonic_us = micros(ClockId::Monotonic);
            tries += 1;
            if monotonic_us - before < 1_000 || tries == 5 {
                return Self {
                    boottime_us,
                    suspended_us: boottime_us - before,
                    wall_offset_us: wall_us - boottime_us,
                };
            }
        }
    }
}

/// The machine slept, or its wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// It was suspended for so long, in us.
    Suspend(i64),
    /// The wall clock was set by this much, in us: forward, or back where it is negative.
    Step(i64),
}

/// No suspend is shorter, and reading the clocks is never off by as much.
const LEAST_SUSPEND_US: i64 = 50_000;
/// ntpd sets the clock from 128 ms on (its step threshold) and lets it run faster or slower below,
/// by at most this much in a million (MAXFREQ of the kernel's include/linux/timex.h).
const LEAST_STEP_US: i64 = 100_000;
const SLEW_PPM: i64 = 500;

/// Compares the clocks from tick to tick.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<Clocks>,
}

impl Watch {
    /// What happened since the last look; nothing at the first one.
    pub fn look(&mut self, now: Clocks) -> Vec<Jump> {
        let Some(last) = self.last.replace(now) else {
            return Vec::new();
        };
        let mut jumps = Vec::new();
        let slept = now.suspended_us - last.suspended_us;
        if slept >= LEAST_SUSPEND_US {
            jumps.push(Jump::Suspend(slept));
        }
        let moved = now.wall_offset_us - last.wall_offset_us;
        let slewed = (now.boottime_us - last.boottime_us) * SLEW_PPM / 1_000_000;
        if moved.abs() >= LEAST_STEP_US + slewed {
            jumps.push(Jump::Step(moved));
        }
        jumps
    }
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

    const S: i64 = 1_000_000;

    fn clocks(boottime_us: i64, suspended_us: i64, wall_offset_us: i64) -> Clocks {
        Clocks {
            boottime_us,
            suspended_us,
            wall_offset_us,
        }
    }

    #[test]
    fn a_suspend_and_a_clock_that_is_set_are_told_apart_and_a_slew_is_neither() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(clocks(100 * S, 7 * S, 0)), []);
        // 500 ppm of ten seconds, and what reading the clocks takes.
        assert_eq!(watch.look(clocks(110 * S, 7 * S + 900, 5_000)), []);
        assert_eq!(
            watch.look(clocks(3_720 * S, 3_607 * S + 900, 5_000)),
            [Jump::Suspend(3_600 * S)]
        );
        let year = 31_536_000 * S;
        let at = clocks(3_730 * S, 3_607 * S, 5_000 + year);
        assert_eq!(watch.look(at), [Jump::Step(year)]);
        let back = clocks(3_740 * S, 3_607 * S, 5_000 - year);
        assert_eq!(watch.look(back), [Jump::Step(-2 * year)]);
        // An hour without a look may slew by 1.8 s.
        assert_eq!(
            watch.look(clocks(7_340 * S, 3_607 * S, 1_800_000 - year)),
            []
        );
    }

    #[test]
    fn clocks_that_nobody_touches_do_not_jump() {
        let mut watch = Watch::default();
        for _ in 0..1_000 {
            assert_eq!(watch.look(Clocks::read()), []);
        }
    }

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
