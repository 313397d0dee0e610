//! What the recorder asks of the kernel so that it outlives a machine that runs out of memory.
//!
//! It asks for itself only. The one program that it starts is itself, to make a probe: that steps down
//! from the place with the OOM killer which it inherits (`tests/tidy.rs` holds that there is no other).
//! Locks do not pass on to children.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Is killed last, and is not paged out, as far as that is allowed. What came of it stands in /proc,
/// from where [`of_this_process`] reads it.
pub(super) fn take() {
    // Lowering it needs CAP_SYS_RESOURCE; a service manager may have done it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    if may_lock() {
        // Pages are locked as they come in, not read in to be locked: that would be the whole
        // program and every stack in full. Linux 4.4 (commit b0f205c2a308); before, nothing is
        // locked.
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}

/// Takes the ordinary place with the OOM killer again, in a child that inherited the recorder's.
pub fn step_down() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
}

/// Under a limit the kernel would refuse memory that comes later, and the recorder would end by that
/// instead.
fn may_lock() -> bool {
    let is_privileged =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    is_privileged || getrlimit(Resource::Memlock).current.is_none()
}

/// How this process stands: its place with the OOM killer, and whether its memory is locked; `None`
/// where /proc does not say.
pub(super) fn of_this_process() -> (Option<i64>, Option<bool>) {
    let oom_score_adj = std::fs::read_to_string("/proc/self/oom_score_adj")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let locked_kib: Option<u64> =
        std::fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("VmLck:"))?;
                line.trim().strip_suffix(" kB")?.parse().ok()
            });
    (oom_score_adj, locked_kib.map(|kib| kib > 0))
}
