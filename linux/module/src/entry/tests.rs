use super::*;

#[test]
fn a_reset_is_of_maxima_and_no_sum_falls() {
    // No CPU is set up: every number is that of the one place for CPUs that do not exist.
    let own = percpu::of(0);
    TICKS_PER_MS.store(1_000_000, Relaxed);
    own.note_wait(7);
    for word in [0, LOCKED, pvq_name_of(3)] {
        own.names.count::<Linux>(word, Cpu::ZERO);
    }
    let before = [0, 1, 2, 3].map(|row| pvq_stat(row, 0));
    assert_eq!(before, [7, 1, 1, 1]);
    pvq_stat_reset(0);
    for row in 0..pvq_stat_rows() {
        let kept = if pvq_stat_is_sum(row) { 1 } else { 0 };
        let expected = if row < OWN_ROWS { kept } else { 0 };
        assert_eq!(pvq_stat(row, 0), expected, "{row}");
    }
}
