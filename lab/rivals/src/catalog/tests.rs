use super::*;

#[test]
fn every_lock_has_one_entry_and_one_name() {
    for (at, entry) in CATALOG.iter().enumerate() {
        assert_eq!(entry.id as usize, at, "{}", entry.name);
        assert_eq!(LockId::ALL[at], entry.id);
        assert_eq!(entry.id.entry(), entry);
        assert_eq!(find(entry.name), Some(entry));
        assert_eq!(entry.policy.is_some(), entry.word.is_some());
    }
}

#[test]
fn the_ideal_is_known_to_oracles_only() {
    assert_eq!(find("ideal"), None);
    assert_eq!(find_or_ideal("ideal"), Some(&IDEAL));
    assert_eq!(LockId::Ideal.entry(), &IDEAL);
    assert!(!LockId::ALL.contains(&LockId::Ideal));
}
