//! Which figure is better, the order of locks that follows from it, and both ends of it in words.

use super::look::Locks;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// Locks with their figures, the best first; equals keep their order.
pub(crate) fn sorted(mut figures: Vec<(usize, f64)>, better: Better) -> Vec<(usize, f64)> {
    figures.sort_by(|(_, a), (_, b)| match better {
        Better::Higher => b.total_cmp(a),
        Better::Lower => a.total_cmp(b),
    });
    figures
}

/// More names than this are counted.
const NAMES: usize = 3;

/// Both ends of what is sorted, in words that hold for what is shown: locks whose figures are
/// written alike share an end.
pub(crate) fn ends(ranked: &[(usize, String)], locks: &Locks) -> String {
    let (Some((_, best)), Some((_, worst))) = (ranked.first(), ranked.last()) else {
        return String::new();
    };
    let end = |text: &str| {
        let alike = ranked.iter().filter(|(_, shown)| shown == text);
        let names: Vec<&str> = alike.map(|(lock, _)| locks[*lock].name.as_str()).collect();
        match names.len() {
            ..=NAMES => format!("{text} ({})", names.join(", ")),
            many => {
                let rest = many - NAMES;
                format!("{text} ({} and {rest} more)", names[..NAMES].join(", "))
            }
        }
    };
    match best == worst {
        true => end(best),
        false => format!("{} to {}", end(best), end(worst)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{samples, summarise};

    #[test]
    fn both_ends_are_named_with_all_that_share_them() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let records = names.map(|name| samples::record(name, 4, 1.0));
        let locks = Locks::of(&summarise(&records));
        let said = |figures: &[f64], better| {
            let ranked = sorted(figures.iter().copied().enumerate().collect(), better);
            let shown = ranked
                .into_iter()
                .map(|(lock, value)| (lock, format!("{value:.1}")));
            ends(&shown.collect::<Vec<_>>(), &locks)
        };
        assert_eq!(
            said(&[0.3, 0.91, 0.92], Better::Higher),
            "0.9 (c, b) to 0.3 (a)"
        );
        assert_eq!(
            said(&[0.3, 0.91, 0.92], Better::Lower),
            "0.3 (a) to 0.9 (b, c)"
        );
        assert_eq!(said(&[1.0; 6], Better::Lower), "1.0 (a, b, c and 3 more)");
        assert_eq!(said(&[1.0], Better::Lower), "1.0 (a)");
        assert_eq!(said(&[], Better::Lower), "");
    }
}
