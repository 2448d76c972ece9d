//! Which deliberate mistakes are made in the protocol model, too, and why the others are not.

use crate::model_table::CASES;

const ORDERING: &str = "no: an ordering; the model is sequentially consistent";
const SCHEDULING: &str = "no: how the host shares its pCPUs is left open";
const HOSTILE: &str = "no: the pages of the model are those of honest guests";
const NO_READERS: &str = "no: the model has no reader-writer lock";
const COST: &str = "no: it costs time and breaks no promise";

/// The mistakes that the model does not make.
const NOT_IN_MODEL: &[(&str, &str)] = &[
    ("weak_acquire", ORDERING),
    ("weak_look", ORDERING),
    ("weak_release", ORDERING),
    ("weak_contended_release", ORDERING),
    ("weak_native_release", ORDERING),
    ("weak_take", ORDERING),
    ("weak_seize", ORDERING),
    ("weak_pending_take", ORDERING),
    ("weak_join", ORDERING),
    ("weak_link", ORDERING),
    ("weak_read_release", ORDERING),
    ("weak_write_release", ORDERING),
    ("weak_upgrade", ORDERING),
    ("weak_downgrade", ORDERING),
    ("upgrade_beside_readers", NO_READERS),
    ("never_halt", COST),
    ("leave_head_to_others", COST),
    ("lend_where_it_may_not", "no: the model has no NMIs"),
    (
        "lose_interrupted_edge",
        "no: interrupts are modelled without hints",
    ),
    ("host_ignores_hint", COST),
    ("host_forgets_poke", SCHEDULING),
    ("host_displaces_strangers", SCHEDULING),
    ("host_charges_borrower", SCHEDULING),
    ("host_trusts_edges", HOSTILE),
    ("host_walks_in_circles", HOSTILE),
];

/// What the list says of a mistake; `None` if the list says nothing, or both.
pub(crate) fn in_model(mutant: &str) -> Option<&'static str> {
    let made = CASES.iter().any(|case| case.makes(mutant));
    let why_not = NOT_IN_MODEL.iter().find(|(name, _)| *name == mutant);
    match (made, why_not) {
        (true, None) => Some("yes"),
        (false, Some((_, why))) => Some(why),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutant_table::mutants;
    use crate::run::root;

    #[test]
    fn every_mutant_is_in_the_model_or_has_a_reason() {
        for mutant in mutants() {
            assert!(in_model(mutant.name).is_some(), "{}", mutant.name);
        }
        let known = |name: &str| mutants().any(|mutant| mutant.name == name);
        for (name, _) in NOT_IN_MODEL {
            assert!(known(name), "there is no mutant {name}");
        }
    }

    #[test]
    fn the_document_counts_the_mistakes_of_the_model() {
        let made = CASES.iter().filter(|case| case.mutant().is_some()).count();
        let text =
            std::fs::read_to_string(root().join("docs/reliability.md")).expect("it is there");
        let told = format!("{made} deliberate mistakes, each with a counterexample");
        assert!(
            text.contains(&told),
            "docs/reliability.md does not say '{told}'"
        );
    }
}
