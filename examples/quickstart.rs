//! Records this machine while a small leaker runs, and reports.

fn main() {}
