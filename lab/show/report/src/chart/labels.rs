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

/// Labels of marks that lie together, one below the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The marks, by their numbers, the highest first.
    pub(crate) members: Vec<usize>,
    /// Where the middle of the first label's left end comes.
    pub(crate) at: Spot,
    /// A line from the marks to the labels, if they are not beside each other.
    pub(crate) line: Option<(Spot, Spot)>,
}

impl Block {
    /// Where the label of a member comes.
    pub(crate) fn place(&self, member: usize) -> Spot {
        (self.at.0, self.at.1 + LINE * member as i32)
    }
}

/// How much room a mark takes in front of a label.
pub(crate) const MARK: i32 = 16;

/// Marks nearer than this lie together.
const NEAR: i32 = 13;

/// Places labels around marks, within a frame: beside the mark if there is room, or else the
/// nearest place that there is. Labels of marks that lie together have room for their mark.
pub(crate) fn around(marks: &[(Spot, String)], frame: Room) -> Vec<Block> {
    let mut taken: Vec<Room> = marks
        .iter()
        .map(|((x, y), _)| (x - 6, y - 6, x + 6, y + 6))
        .collect();
    let mut blocks = Vec::new();
    for members in together(marks) {
        let names = members.iter().map(|i| text_width(&marks[*i].1));
        let mark = if members.len() > 1 { MARK } else { 0 };
        let width = names.max().unwrap_or(0) + mark;
        let height = LINE * members.len() as i32;
        let spot = marks[members[0]].0;
        let best = candidates(spot, width, height)
            .map(|((x, y), apart)| {
                let room = (x, y, x + width, y + height);
                let outside = width * height - overlap(room, frame);
                let over: i32 = taken.iter().map(|other| overlap(room, *other)).sum();
                (over + 4 * outside, room, apart)
            })
            // The first of equals: candidates come nearest first.
            .min_by_key(|(cost, ..)| *cost);
        let Some((_, room, apart)) = best else {
            continue;
        };
        let edge = (
            spot.0.clamp(room.0 - 3, room.2 + 3),
            spot.1.clamp(room.1, room.3),
        );
        taken.push(room);
        blocks.push(Block {
            members,
            at: (room.0, room.1 + LINE / 2),
            line: apart.then_some((spot, edge)),
        });
    }
    blocks
}

/// Marks that cover each other, the highest of each group first.
fn together(marks: &[(Spot, String)]) -> Vec<Vec<usize>> {
    let near = |a: Spot, b: Spot| (a.0 - b.0).abs() < NEAR && (a.1 - b.1).abs() < NEAR;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, (spot, _)) in marks.iter().enumerate() {
        let joins = |group: &Vec<usize>| group.iter().any(|j| near(marks[*j].0, *spot));
        let (mut joined, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(joins);
        groups = rest;
        let mut group = joined.drain(..).flatten().collect::<Vec<usize>>();
        group.push(i);
        groups.push(group);
    }
    for group in &mut groups {
        group.sort_by_key(|i| (marks[*i].0.1, *i));
    }
    // Large groups first: they have the fewest places to go to.
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    groups
}

/// Places for the left upper corner of a block, the nearest to its mark first.
fn candidates((x, y): Spot, width: i32, height: i32) -> impl Iterator<Item = (Spot, bool)> {
    let rings = [0, 16, 32, 48, 64, 90, 120, 150];
    rings.into_iter().flat_map(move |far| {
        let (right, left) = (x + 10, x - 10 - width);
        let (middle, over, under) = (y - height / 2, y - height - 4, y + 4);
        [
            (right + far, middle),
            (left - far, middle),
            (right + far / 2, over - far),
            (right + far / 2, under + far),
            (left - far / 2, under + far),
            (left - far / 2, over - far),
            (x - width / 2, over - 4 - far),
            (x - width / 2, under + 4 + far),
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
        let spots =
            (0..12)
                .map(|i| (300 + i, 150 + 2 * i))
                .chain([(20, 20), (620, 380), (330, 150)]);
        let marks: Vec<(Spot, String)> = spots.map(|at| (at, "native-queued".into())).collect();
        let frame = (0, 0, 640, 400);
        let blocks = around(&marks, frame);
        let rooms: Vec<Room> = blocks
            .iter()
            .flat_map(|block| (0..block.members.len()).map(|i| block.place(i)))
            .map(|(x, y)| {
                (
                    x,
                    y - LINE / 2,
                    x + text_width("native-queued"),
                    y + LINE / 2,
                )
            })
            .collect();
        assert_eq!(rooms.len(), marks.len(), "every mark has its label");
        assert_eq!(blocks.len(), 4, "the first twelve lie together");
        for (i, a) in rooms.iter().enumerate() {
            let area = (a.2 - a.0) * (a.3 - a.1);
            assert_eq!(overlap(*a, frame), area, "{a:?} leaves the frame");
            for b in &rooms[..i] {
                assert_eq!(overlap(*a, *b), 0, "{a:?} covers {b:?}");
            }
        }
    }
}
