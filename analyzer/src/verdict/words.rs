//! Numbers and times in words.

/// A number with about four significant digits.
pub(super) fn short(x: f64) -> String {
    let size = x.abs();
    if !(1e-3..1e7).contains(&size) && size > 0.0 {
        format!("{x:.3e}")
    } else if size >= 1000.0 {
        format!("{x:.0}")
    } else if size >= 10.0 {
        format!("{x:.1}")
    } else {
        format!("{x:.3}")
    }
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    let x = 100.0 * share;
    if x.abs() >= 10.0 || x.abs() < 0.05 {
        format!("{x:.0} %")
    } else {
        format!("{x:.1} %")
    }
}

/// A time in the unit that suits it.
pub(super) fn hours(seconds: f64) -> String {
    let (value, unit) = match seconds.abs() {
        s if s >= 3.0 * 86_400.0 => (seconds / 86_400.0, "days"),
        s if s >= 5_400.0 => (seconds / 3600.0, "hours"),
        s if s >= 120.0 => (seconds / 60.0, "minutes"),
        _ => (seconds, "seconds"),
    };
    if value.abs() < 10.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_times_have_a_unit() {
        assert_eq!(short(123_456.7), "123457");
        assert_eq!(short(12.345), "12.3");
        assert_eq!(short(0.012_34), "0.012");
        assert_eq!(short(1.5e9), "1.500e9");
        assert_eq!(
            (percent(0.123), percent(0.0456)),
            ("12 %".into(), "4.6 %".into())
        );
        assert_eq!(
            (hours(90.0), hours(7200.0)),
            ("90 seconds".into(), "2.0 hours".into())
        );
        assert_eq!(
            (hours(864_000.0), hours(600.0)),
            ("10 days".into(), "10 minutes".into())
        );
    }
}
