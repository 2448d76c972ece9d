//! How a lock looks, everywhere on a page: a colour, a mark and a kind of line.
//!
//! Ours have solid lines, unfair rivals dashed ones, fair rivals dotted ones, and within each of
//! these kinds every lock has a mark of its own: pictures can be read without their colours. The
//! colours are of middle lightness, at least 3:1 against white and against the dark background
//! (what WCAG 2.1 asks of graphics, 1.4.11).

use plotters::style::RGBColor;

use crate::aggregate::{AtPoint, Summary};

/// Hues 15 degrees apart in OKLCH, light and dark ones in turn.
const COLOURS: [RGBColor; 24] = [
    RGBColor(0xee, 0x55, 0x52),
    RGBColor(0xb1, 0x3e, 0x06),
    RGBColor(0xd8, 0x71, 0x09),
    RGBColor(0x91, 0x5c, 0x08),
    RGBColor(0xb5, 0x89, 0x13),
    RGBColor(0x77, 0x6a, 0x0a),
    RGBColor(0x8f, 0x9a, 0x0f),
    RGBColor(0x4d, 0x78, 0x00),
    RGBColor(0x26, 0xa7, 0x3a),
    RGBColor(0x0a, 0x7d, 0x51),
    RGBColor(0x14, 0xa4, 0x85),
    RGBColor(0x14, 0x78, 0x74),
    RGBColor(0x0e, 0xa3, 0xb0),
    RGBColor(0x13, 0x74, 0x8d),
    RGBColor(0x14, 0x9c, 0xd7),
    RGBColor(0x06, 0x6b, 0xb8),
    RGBColor(0x59, 0x89, 0xfd),
    RGBColor(0x59, 0x52, 0xd2),
    RGBColor(0x9b, 0x72, 0xf6),
    RGBColor(0x8a, 0x3d, 0xb8),
    RGBColor(0xc8, 0x60, 0xcf),
    RGBColor(0xaa, 0x2b, 0x8a),
    RGBColor(0xe4, 0x53, 0x96),
    RGBColor(0xbc, 0x1f, 0x4f),
];

/// Locks that have the same colour on every page, by their place in [`COLOURS`]. Others take what
/// is left.
const KNOWN: [(&str, usize); 23] = [
    ("fifo", 0),
    ("fifo-bit", 23),
    ("fifo-halt", 2),
    ("fifo-holder", 22),
    ("bounded", 20),
    ("test-and-set", 14),
    ("tas-backoff", 13),
    ("unfair-queued", 12),
    ("unfair-hinted", 16),
    ("linux-pv", 8),
    ("pv-ticket", 7),
    ("ticket", 4),
    ("native-queued", 11),
    ("mcs", 9),
    ("clh", 10),
    ("mcs-tp", 3),
    ("preemptable-ticket", 5),
    ("malthusian", 18),
    ("shuffling", 15),
    ("s390-queued", 17),
    ("powerpc", 19),
    ("std", 14),
    ("parking-lot", 16),
];

/// The sign for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Disc,
    Square,
    Diamond,
    Up,
    Down,
    Cross,
    Plus,
    Ring,
    Frame,
    Bar,
}

/// In the order in which locks of a kind get them.
pub(crate) const MARKS: [Mark; 10] = [
    Mark::Disc,
    Mark::Square,
    Mark::Diamond,
    Mark::Up,
    Mark::Cross,
    Mark::Down,
    Mark::Plus,
    Mark::Ring,
    Mark::Frame,
    Mark::Bar,
];

/// A lock as the page shows it. Its place in [`Locks`] is its number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lock {
    pub(crate) name: String,
    pub(crate) ours: bool,
    pub(crate) fair: bool,
    pub(crate) colour: RGBColor,
    pub(crate) mark: Mark,
}

impl Lock {
    /// How wide its line is, in pixels.
    pub(crate) fn width(&self) -> u32 {
        if self.ours { 3 } else { 2 }
    }

    /// The SVG `stroke-dasharray` of its line.
    pub(crate) fn dashes(&self) -> &'static str {
        match (self.ours, self.fair) {
            (true, _) => "none",
            (false, false) => "8 4",
            (false, true) => "2 3",
        }
    }

    /// What kind of lock that is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match (self.ours, self.fair) {
            (true, true) => "ours, in order",
            (true, false) => "ours",
            (false, false) => "unfair",
            (false, true) => "in order",
        }
    }
}

/// All locks of a page: ours first, then by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Locks(Vec<Lock>);

impl Locks {
    /// Everything that ran at any of these points.
    pub(crate) fn of<'a>(points: impl IntoIterator<Item = &'a AtPoint>) -> Self {
        let mut ran: Vec<&Summary> = Vec::new();
        for lock in points.into_iter().flat_map(|at| &at.locks) {
            if !ran.iter().any(|known| known.lock == lock.lock) {
                ran.push(lock);
            }
        }
        let slot = |name: &str| KNOWN.iter().position(|(known, _)| *known == name);
        ran.sort_by_key(|lock| {
            let place = slot(&lock.lock).unwrap_or(KNOWN.len());
            (!lock.is_ours(), place, lock.lock.clone())
        });
        let mut taken = [false; COLOURS.len()];
        let fixed: Vec<Option<usize>> = ran
            .iter()
            .map(|lock| {
                let place = slot(&lock.lock).map(|known| KNOWN[known].1)?;
                (!std::mem::replace(&mut taken[place], true)).then_some(place)
            })
            .collect();
        let free: Vec<usize> = (0..COLOURS.len()).filter(|place| !taken[*place]).collect();
        let mut left = free.into_iter().chain((0..COLOURS.len()).cycle());
        let mut marks_of_kind = [0_usize; 3];
        let locks = ran.iter().zip(fixed).map(|(lock, fixed)| {
            let place = fixed.or_else(|| left.next()).unwrap_or(0);
            let kind = match (lock.is_ours(), lock.fair) {
                (true, _) => 0,
                (false, false) => 1,
                (false, true) => 2,
            };
            let mark = MARKS[marks_of_kind[kind] % MARKS.len()];
            marks_of_kind[kind] += 1;
            Lock {
                name: lock.lock.clone(),
                ours: lock.is_ours(),
                fair: lock.fair,
                colour: COLOURS[place],
                mark,
            }
        });
        Self(locks.collect())
    }

    /// In their order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Lock> {
        self.0.iter()
    }

    /// The number of the lock of this name.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|lock| lock.name == name)
    }
}

impl std::ops::Index<usize> for Locks {
    type Output = Lock;

    fn index(&self, number: usize) -> &Lock {
        &self.0[number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::theme::{DARK, LIGHT, contrast};
    use crate::{samples, summarise};

    fn locks(names: &[String]) -> Locks {
        let records: Vec<_> = names
            .iter()
            .map(|name| samples::record(name, 4, 100.0))
            .collect();
        Locks::of(&summarise(&records))
    }

    #[test]
    fn every_colour_stands_out_from_both_papers() {
        for colour in COLOURS {
            for theme in [LIGHT, DARK] {
                let contrast = contrast(colour, theme.paper);
                assert!(contrast >= 3.0, "{colour:?} on {theme:?}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn no_two_locks_of_a_page_look_alike() {
        let mut names: Vec<String> = KNOWN.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.extend(["stranger", "other"].map(str::to_owned));
        let locks = locks(&names);
        assert_eq!(locks.iter().len(), 25);
        let all: Vec<&Lock> = locks.iter().collect();
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert!(
                    (a.colour, a.mark, a.dashes()) != (b.colour, b.mark, b.dashes()),
                    "{a:?} looks like {b:?}"
                );
            }
        }
    }

    #[test]
    fn a_known_lock_keeps_its_colour_beside_others() {
        let alone = locks(&["unfair-hinted".into()]);
        let beside = locks(&["aaa".into(), "fifo".into(), "unfair-hinted".into()]);
        let place = beside.number("unfair-hinted").expect("it ran");
        assert_eq!(beside[place].colour, alone[0].colour);
        assert_eq!(beside.number("fifo"), Some(0), "ours come first");
        assert_ne!(beside[1].colour, beside[2].colour);
    }
}
