//! Simulations: noise without a leak, leaks of a known slope, and leaks of the smallest size.

use crate::case::{Case, Truth};
use crate::methods::{self, BASELINES, Call, NAMES};
use crate::random::Random;
use crate::score::ratio;
use crate::table::{Table, number, percent};
use memsoak_analyze::series_csv::Series;
use memsoak_analyze::stats;

const PAGE: f64 = 4096.0;
/// A level of 256 MiB: large beside the noise, as that of a process is.
const LEVEL: f64 = 65_536.0 * PAGE;
/// Noise of 1 MiB, so that whole pages do not matter.
const SIGMA: f64 = 256.0 * PAGE;
/// Six hours at a minute's tick.
const SAMPLES: usize = 360;
const TICK_S: f64 = 60.0;
const SPAN_H: f64 = TICK_S * (SAMPLES - 1) as f64 / 3600.0;

/// First numbers of the random streams, so that no simulation repeats another's.
const NOISE: u64 = 101;
const COVERAGE: u64 = 102;
const SMALLEST: u64 = 103;

/// `offset` on the level, in whole pages, as a case without name, source or restart.
fn case(offset: impl Iterator<Item = f64>, truth: Truth, rate_per_hour: Option<f64>) -> Case {
    let value: Vec<f64> = offset
        .map(|offset| (((LEVEL + offset) / PAGE).round() * PAGE).max(0.0))
        .collect();
    let t_s = (0..value.len()).map(|i| TICK_S * i as f64).collect();
    let series = Series {
        t_s,
        value,
        ..Series::default()
    };
    Case {
        part: String::new(),
        kind: String::new(),
        truth,
        rate_per_hour,
        series,
    }
}

/// How often each method calls 10,000 series a leak that hold nothing but noise, by the
/// autocorrelation from one sample to the next; 1 is a random walk.
pub(crate) fn noise(seed: u64) -> String {
    const EACH: u32 = 1000;
    let mut header = vec![
        "autocorrelation",
        "series",
        "memsoak",
        "memsoak, or suspect",
        "memsoak, through cells",
    ];
    header.extend(&NAMES[BASELINES..]);
    let mut table = Table::new(1, &header);
    for (row, phi) in [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0]
        .into_iter()
        .enumerate()
    {
        let mut called = [0_u32; NAMES.len()];
        let mut suspected = 0;
        for at in 0..EACH {
            let mut random = Random::new(&[seed, NOISE, row as u64, u64::from(at)]);
            let errors = random.autoregression(SAMPLES, phi);
            let offset = errors.into_iter().map(|e| SIGMA * e);
            let judged = methods::judge(case(offset, Truth::Healthy, None));
            for (count, call) in called.iter_mut().zip(&judged.calls) {
                *count += u32::from(call.leak);
            }
            let call = &judged.calls[methods::MEMSOAK];
            suspected += u32::from(call.leak || call.suspect);
        }
        let name = if phi < 1.0 {
            format!("{phi}")
        } else {
            "1, random walk".to_owned()
        };
        let mut cells = vec![name, EACH.to_string()];
        cells.extend([called[0], suspected, called[1]].map(|count| count.to_string()));
        cells.extend(called[BASELINES..].iter().map(u32::to_string));
        table.row(cells);
    }
    format!("Called a leak, in 1,000 series each:\n\n{}", table.render())
}

/// How often the 95 % interval holds the true slope, over 2,000 linear leaks under autocorrelated
/// noise.
pub(crate) fn coverage(seed: u64) -> String {
    const EACH: u32 = 125;
    let mut table = Table::new(
        2,
        &[
            "autocorrelation",
            "growth over noise",
            "called",
            "held by the interval, of all",
            "of those called",
            "half width, median of called",
            "slope off by, median of called",
            "held by OLS",
            "held by Mann-Kendall with Hamed-Rao",
        ],
    );
    let mut total = [0_u32; 5];
    for (i, phi) in [0.0, 0.5, 0.9, 0.97].into_iter().enumerate() {
        for (j, ratio_to_noise) in [3.0, 6.0, 12.0, 40.0].into_iter().enumerate() {
            let rate = ratio_to_noise * SIGMA / SPAN_H;
            let holds = |call: &Call| u32::from(call.low <= rate && rate <= call.high);
            // All, called, called and held, OLS, Hamed-Rao.
            let mut counts = [0_u32; 5];
            let (mut widths, mut errors) = (Vec::new(), Vec::new());
            for at in 0..EACH {
                let mut random = Random::new(&[seed, COVERAGE, i as u64, j as u64, u64::from(at)]);
                let noise = random.autoregression(SAMPLES, phi);
                let offset = noise
                    .into_iter()
                    .enumerate()
                    .map(|(k, e)| rate * TICK_S / 3600.0 * k as f64 + SIGMA * e);
                let case = case(offset, Truth::Leak, Some(rate));
                let call = methods::memsoak(&case.series);
                let [ols, _, hamed_rao] = methods::baselines(&case.series);
                counts[0] += holds(&call);
                if call.leak {
                    counts[1] += 1;
                    counts[2] += holds(&call);
                    widths.push((call.high - call.low) / 2.0 / rate);
                    errors.push((call.slope / rate - 1.0).abs());
                }
                counts[3] += holds(&ols);
                counts[4] += holds(&hamed_rao);
            }
            for (sum, count) in total.iter_mut().zip(counts) {
                *sum += count;
            }
            let median = |values: &[f64]| (!values.is_empty()).then(|| stats::median(values));
            let mut cells = vec![format!("{phi}"), format!("{ratio_to_noise}")];
            let of_all = |count| percent(ratio(count, EACH), 0);
            cells.extend([
                of_all(counts[1]),
                of_all(counts[0]),
                percent(ratio(counts[2], counts[1]), 0),
                percent(median(&widths), 1),
                percent(median(&errors), 1),
                of_all(counts[3]),
                of_all(counts[4]),
            ]);
            table.row(cells);
        }
    }
    let of_all = |count| percent(ratio(count, 16 * EACH), 1);
    table.row([
        "all".to_owned(),
        String::new(),
        of_all(total[1]),
        of_all(total[0]),
        percent(ratio(total[2], total[1]), 1),
        String::new(),
        String::new(),
        of_all(total[3]),
        of_all(total[4]),
    ]);
    table.render()
}

/// How often a leak of the smallest growth that memsoak states for a series is named once it is
/// put into that very series, and how often larger ones are.
pub(crate) fn smallest(seed: u64) -> String {
    const EACH: u32 = 200;
    const TIMES: [f64; 6] = [0.5, 1.0, 1.5, 2.0, 3.0, 5.0];
    let mut header = vec![
        "autocorrelation".to_owned(),
        "stated, of the noise".to_owned(),
    ];
    header.extend(TIMES.map(|times| format!("{times} x")));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = Table::new(1, &header);
    for (row, phi) in [0.0, 0.5, 0.8, 0.9, 0.95, 0.99].into_iter().enumerate() {
        let mut called = [0_u32; TIMES.len()];
        let mut stated = Vec::new();
        for at in 0..EACH {
            let mut random = Random::new(&[seed, SMALLEST, row as u64, u64::from(at)]);
            let noise: Vec<f64> = random
                .autoregression(SAMPLES, phi)
                .into_iter()
                .map(|e| SIGMA * e)
                .collect();
            let quiet = case(noise.iter().copied(), Truth::Healthy, None);
            let growth = quiet.series.judge().smallest_growth;
            stated.push(growth / SIGMA);
            for (count, times) in called.iter_mut().zip(TIMES) {
                let offset = noise
                    .iter()
                    .enumerate()
                    .map(|(k, e)| times * growth * k as f64 / (SAMPLES - 1) as f64 + e);
                let leak = case(offset, Truth::Leak, None);
                *count += u32::from(methods::memsoak(&leak.series).leak);
            }
        }
        let mut cells = vec![format!("{phi}"), number(Some(stats::median(&stated)), 2)];
        cells.extend(called.map(|count| percent(ratio(count, EACH), 0)));
        table.row(cells);
    }
    table.render()
}
