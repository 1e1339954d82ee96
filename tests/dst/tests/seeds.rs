//! A few seeds of the simulation, in four parts so that they run side by side.

/// Runs `n` seeds from `first` on; none of them breaks anything.
fn none_is_broken(first: u64, n: u64) {
    let broken: Vec<String> = (first..first + n)
        .map(|seed| (seed, backsight_dst::run(seed).violations))
        .filter(|(_, violations)| !violations.is_empty())
        .map(|(seed, violations)| format!("seed {seed}: {}", violations.join("\n  ")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn seeds_0_to_49_break_nothing() {
    none_is_broken(0, 50);
}

#[test]
fn seeds_50_to_99_break_nothing() {
    none_is_broken(50, 50);
}

#[test]
fn seeds_100_to_149_break_nothing() {
    none_is_broken(100, 50);
}

#[test]
fn seeds_150_to_199_break_nothing() {
    none_is_broken(150, 50);
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    for seed in 0..8 {
        assert_eq!(backsight_dst::run(seed), backsight_dst::run(seed), "seed {seed}");
    }
}
