//! Every condition that is diagnosed without a trend, with its thresholds and their reasons.

use serde::Serialize;

/// A condition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// The word in report.json.
    pub id: &'static str,
    /// What it means.
    pub what: &'static str,
    /// Where the kernel or its documentation says so.
    pub source: &'static str,
    /// What is compared.
    pub thresholds: &'static [Threshold],
}

/// One threshold of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// Why it exists and has this value.
    pub why: &'static str,
}

macro_rules! conditions {
    ($($id:literal, $what:literal, $source:literal, {
        $($threshold:ident = $value:expr, $name:literal, $why:literal;)*
    })*) => {
        $($(#[doc = $why] pub(super) const $threshold: f64 = $value;)*)*

        /// All conditions, in the order in which a reader asks: is memory short, why, and what came of it.
        pub const CONDITIONS: &[Condition] = &[$(Condition {
            id: $id,
            what: $what,
            source: $source,
            thresholds: &[$(Threshold { name: $name, value: $threshold, why: $why }),*],
        }),*];
    };
}

conditions! {
    "oom_kill", "The kernel killed a process because memory could not be had, of the machine or of a cgroup.",
    "mm/oom_kill.c __oom_kill_process counts OOM_KILL in /proc/vmstat since 4.13; man 5 proc_pid_oom_score", {
        OOM_KILLS = 1.0, "kills", "Each kill is a loss.";
    }
    "low_available", "Little memory is left that could be had without swapping.",
    "Documentation/filesystems/proc.rst, MemAvailable (kernel commit 34e431b0ae39)", {
        AVAILABLE_SHARE = 0.10, "available_share",
            "Under a tenth of MemTotal a burst of ordinary work pushes the kernel into reclaim.";
        AVAILABLE_SHARE_CRITICAL = 0.03, "available_share_critical",
            "Watermarks and reserves are of this size: what is left below is what the kernel keeps for itself.";
    }
    "zone_under_min", "A zone has less free memory than its min watermark: allocations reclaim for themselves, and only those that may use the reserves succeed.",
    "mm/page_alloc.c __zone_watermark_ok; Documentation/admin-guide/sysctl/vm.rst, min_free_kbytes", {
        SUSTAINED_S = 60.0, "sustained_s",
            "A dip of a moment is a burst that kswapd answers; a minute is beyond any burst. A dip counts at once where allocstall of vmstat proves that somebody waited in it.";
        SUSTAINED_SAMPLES = 3.0, "sustained_samples",
            "Two samples may both have met a dip by chance.";
    }
    "zone_under_low", "A zone stays under its low watermark: kswapd is awake and does not keep up.",
    "mm/vmscan.c pgdat_balanced, wakeup_kswapd; lowmem_reserve_ratio in Documentation/admin-guide/sysctl/vm.rst", {
        UNDER_LOW_BATCHES = 1.0, "batches",
            "A zone from which allocations pass on to the next hovers at its low watermark; per-CPU lists that fill take a batch each, so it counts from that much under it on.";
    }
    "direct_reclaim", "Allocations reclaim memory themselves and wait for it, minute after minute.",
    "mm/vmscan.c do_try_to_free_pages counts allocstall_*; the levels are those of mm/vmpressure.c", {
        STALLS_PER_S = 1.0, "stalls_per_s",
            "A stall now and then belongs to a full page cache; one each second, all the time, is kswapd not keeping up.";
        INEFFICIENCY_MEDIUM = 0.60, "inefficiency_medium",
            "vmpressure_level_med of the kernel: of the pages looked at, this share could not be had.";
        INEFFICIENCY_CRITICAL = 0.95, "inefficiency_critical",
            "vmpressure_level_critical of the kernel, shortly before the OOM killer.";
    }
    "memory_pressure", "Tasks lose their time waiting for memory.",
    "Documentation/accounting/psi.rst, total of some and full in /proc/pressure/memory", {
        PRESSURE_SOME = 0.10, "some_share",
            "In a tenth of the time at least one task waits: people and watchdogs notice.";
        PRESSURE_FULL = 0.10, "full_share",
            "In a tenth of the time nothing that could run did: that work is lost to the whole machine.";
    }
    "swap_thrashing", "Pages are swapped in and out at once, minute after minute: the working set does not fit.",
    "pswpin and pswpout of /proc/vmstat, mm/page_io.c; /proc/pressure/memory for what it costs", {
        SWAP_BYTES_PER_S = 1_048_576.0, "bytes_per_s",
            "256 pages a second each way: at 0.1 ms (flash) to 10 ms (disk) a fault that is 2.5 % of a second or more than all of it.";
        SWAP_WAITING_SHARE = 0.01, "waiting_share",
            "Where PSI says that nobody waited even a hundredth of the time (zram, cold pages on the move), it harms nobody.";
    }
    "swap_growing", "The swap in use rises through the run, by the rules of the verdicts.",
    "SwapTotal less SwapFree of /proc/meminfo", {
        SWAP_FLOOR_SHARE = 0.01, "floor_share",
            "A growth under a hundredth of the swap would take a hundred such runs to fill it.";
    }
    "overcommit", "More memory is promised than CommitLimit, which only vm.overcommit_memory = 2 enforces, or than there is.",
    "Documentation/mm/overcommit-accounting.rst; mm/util.c __vm_enough_memory", {
        COMMIT_SHARE = 1.0, "commit_share",
            "Of CommitLimit where the mode is not known, as it may be 2; of all memory and swap in modes 0 and 1, which do not enforce the limit: beyond that not all promises can be kept.";
        COMMIT_SHARE_STRICT = 0.90, "commit_share_strict",
            "In mode 2 the limit itself is never passed, as allocations fail before; in the last tenth large ones do.";
    }
    "fragmentation", "Much memory is free, and nearly none of it in blocks of the order that is asked for.",
    "mm/vmstat.c unusable_free_index and __fragmentation_index; Gorman & Whitcroft, \"The What, the Why and the Where To of Anti-Fragmentation\" (OLS 2006)", {
        UNUSABLE = 0.90, "unusable_free_index",
            "Nine tenths of what is free cannot serve the order.";
        PLENTIFUL = 0.10, "free_share",
            "With less free than this the high orders lack because memory lacks.";
        ZONE_SHARE = 0.05, "zone_share",
            "A smaller zone (DMA) is a crumb from which nobody expects blocks.";
        COMPACTION_FAILS = 0.50, "compaction_fails_share",
            "Where most direct compactions fail meanwhile, it is proven to hurt.";
    }
    "unmovable_blocks", "Ever more pageblocks hold unmovable or reclaimable kernel memory: compaction cannot empty them.",
    "/proc/pagetypeinfo, Number of blocks type; Documentation/filesystems/proc.rst", {
        BLOCKS_FLOOR_SHARE = 0.01, "floor_share",
            "While less than a hundredth of the blocks is lost, compaction has the others.";
    }
    "pcp_over_high", "Per-CPU lists hold more pages than their high mark and are not drained.",
    "mm/page_alloc.c free_unref_page_commit and decay_pcp_high; count and high in /proc/zoneinfo", {
        PCP_BATCHES = 1.0, "batches",
            "A batch for each CPU may be on its way, and a huge page for each counts at once.";
        PCP_SHARE = 0.01, "zone_share",
            "From a hundredth of the zone on it is memory that others miss.";
    }
    "alloc_failure", "An allocation in the kernel failed and said so.",
    "mm/page_alloc.c warn_alloc", {}
    "kasan", "KASAN found a use after free or out of bounds.", "Documentation/dev-tools/kasan.rst", {}
    "kfence", "KFENCE found a use after free or out of bounds.", "Documentation/dev-tools/kfence.rst", {}
    "ubsan", "UBSAN found undefined behaviour.", "Documentation/dev-tools/ubsan.rst", {}
    "kmemleak", "kmemleak found objects that nothing points to.", "Documentation/dev-tools/kmemleak.rst", {}
    "hung_task", "A task was blocked for longer than hung_task_timeout_secs.", "kernel/hung_task.c check_hung_task", {}
    "soft_lockup", "A CPU did not schedule for longer than twice watchdog_thresh.", "Documentation/admin-guide/lockup-watchdogs.rst", {}
    "recording_in_memory", "The recording itself lies in memory and grows there.",
    "Documentation/filesystems/tmpfs.rst; Documentation/filesystems/ramfs-rootfs-initramfs.rst", {}
    "held_caches", "drop-caches left a cache that shrinkers should empty: something holds its objects.",
    "fs/drop_caches.c; Documentation/admin-guide/sysctl/vm.rst, drop_caches", {
        HELD_CACHE_SHARE = 0.01, "held_cache_share",
            "A cache under a hundredth of MemTotal that stays is names and files in use.";
        HELD_GIVEN_BACK = 0.10, "held_given_back",
            "Of a cache that nobody holds nearly all goes; where at most a tenth went, the rest is in use.";
    }
    "compaction_won_nothing", "Compacting the whole machine made no block of a huge page although much memory is free in smaller ones.",
    "mm/compaction.c compact_nodes; Documentation/admin-guide/sysctl/vm.rst, compact_memory", {
        SCATTERED_FREE = 16.0, "scattered_free",
            "Free memory in small blocks that would make this many huge pages should make one.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_condition_has_a_word_of_its_own_a_source_and_reasons() {
        let ids: BTreeSet<_> = CONDITIONS.iter().map(|c| c.id).collect();
        assert_eq!(ids.len(), CONDITIONS.len());
        for condition in CONDITIONS {
            assert!(
                condition
                    .id
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_')
            );
            assert!(condition.what.ends_with('.') && !condition.source.is_empty());
            for threshold in condition.thresholds {
                assert!(threshold.why.ends_with('.') && threshold.value > 0.0);
            }
        }
    }
}
