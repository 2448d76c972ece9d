//! Writing beside what it names, without writing over anything else.

use super::sketch::{Spot, text_width};

/// How high a line of writing is.
const LINE: i32 = 15;

/// Moves labels of one column apart: each as near to where it wants to be as the others let it.
/// Returns their places in the order in which they were given.
pub(crate) fn spread(wanted: &[i32], top: i32, bottom: i32) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|i| (wanted[*i], *i));
    let mut placed = vec![0; wanted.len()];
    let mut above = i32::MIN;
    for &i in &order {
        placed[i] = wanted[i].max(above.saturating_add(LINE)).max(top);
        above = placed[i];
    }
    // Whoever was pushed over the end pushes the others back.
    let mut below = bottom.saturating_add(LINE);
    for &i in order.iter().rev() {
        placed[i] = placed[i].min(below - LINE);
        below = placed[i];
    }
    placed
}

/// A rectangle: left, top, right, bottom.
type Room = (i32, i32, i32, i32);

fn overlap(a: Room, b: Room) -> i32 {
    let across = (a.2.min(b.2) - a.0.max(b.0)).max(0);
    let down = (a.3.min(b.3) - a.1.max(b.1)).max(0);
    across * down
}

/// Where the middle of a label's left edge comes, and whether it needs a line to its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) at: Spot,
    pub(crate) apart: bool,
}

/// Places labels around marks, within a frame: beside the mark if there is room, or else the
/// nearest place that there is.
pub(crate) fn around(marks: &[(Spot, String)], frame: Room) -> Vec<Placed> {
    let mut taken: Vec<Room> = marks
        .iter()
        .map(|((x, y), _)| (x - 6, y - 6, x + 6, y + 6))
        .collect();
    let mut placed = Vec::new();
    for (spot, name) in marks {
        let width = text_width(name);
        let best = candidates(*spot, width)
            .map(|(at, apart)| {
                let room = (at.0, at.1 - LINE / 2, at.0 + width, at.1 + LINE / 2);
                let inside = overlap(room, frame);
                let outside = (room.2 - room.0) * (room.3 - room.1) - inside;
                let over: i32 = taken.iter().map(|other| overlap(room, *other)).sum();
                (over + 4 * outside, Placed { at, apart }, room)
            })
            // The first of equals: candidates come nearest first.
            .min_by_key(|(cost, ..)| *cost);
        if let Some((_, label, room)) = best {
            taken.push(room);
            placed.push(label);
        }
    }
    placed
}

/// Places for a label, the nearest to its mark first.
fn candidates((x, y): Spot, width: i32) -> impl Iterator<Item = (Spot, bool)> {
    let rings = [0, 18, 36, 54, 80, 110, 140];
    rings.into_iter().flat_map(move |far| {
        [
            (x + 10 + far / 2, y - far),
            (x - 10 - far / 2 - width, y - far),
            (x + 10 + far / 2, y + far),
            (x - 10 - far / 2 - width, y + far),
            (x - width / 2, y - far - LINE),
            (x - width / 2, y + far + LINE),
            (x + 10 + far, y),
            (x - 10 - far - width, y),
        ]
        .map(|at| (at, far > 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_keeps_its_order_and_its_distances() {
        assert_eq!(spread(&[50, 10, 120], 0, 300), [50, 10, 120], "room enough");
        let close = spread(&[100, 101, 99, 100], 0, 300);
        let mut sorted = close.clone();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= LINE));
        assert_eq!(close[2], sorted[0], "who was highest still is");
    }

    #[test]
    fn nobody_falls_off_the_end() {
        let placed = spread(&[290; 20], 0, 300);
        assert!(placed.iter().all(|y| (0..=300).contains(y)), "{placed:?}");
        assert!(spread(&[], 0, 300).is_empty());
    }

    #[test]
    fn labels_around_marks_do_not_cover_each_other() {
        let marks: Vec<(Spot, String)> = (0..12)
            .map(|i| ((300 + i, 150 + 2 * i), "native-queued".to_owned()))
            .collect();
        let frame = (0, 0, 640, 400);
        let rooms: Vec<Room> = around(&marks, frame)
            .iter()
            .map(|label| {
                let (x, y) = label.at;
                (x, y - LINE / 2, x + 7 * 13, y + LINE / 2)
            })
            .collect();
        assert_eq!(rooms.len(), marks.len());
        for (i, a) in rooms.iter().enumerate() {
            assert_eq!(
                overlap(*a, frame),
                (a.2 - a.0) * (a.3 - a.1),
                "inside the frame"
            );
            for b in &rooms[..i] {
                assert_eq!(overlap(*a, *b), 0, "{a:?} covers {b:?}");
            }
        }
    }
}
