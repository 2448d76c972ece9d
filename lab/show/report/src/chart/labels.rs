//! Names beside what they name, without writing over anything else.
//!
//! A name stands beside its mark, or a line leads from the mark to it. It never takes a mark along:
//! a mark is a value, and lies where the value is.

use super::sketch::{Leader, Room, Spot, text_width};

/// How high a line of writing is.
pub(crate) const LINE: i32 = 15;

/// Marks nearer than this cover each other.
const NEAR: i32 = 13;

// What a line costs that crosses a name, another line or a mark, in pixels of overlap.
const OVER_NAME: i32 = 400;
const OVER_LINE: i32 = 150;
const OVER_MARK: i32 = 100;

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
    // A label that was pushed over the end pushes the others back.
    let mut below = bottom.saturating_add(LINE);
    for &i in order.iter().rev() {
        placed[i] = placed[i].min(below - LINE);
        below = placed[i];
    }
    placed
}

/// How much of two rectangles is the same, in square pixels.
pub(crate) fn overlap(a: Room, b: Room) -> i32 {
    let across = (a.2.min(b.2) - a.0.max(b.0)).max(0);
    let down = (a.3.min(b.3) - a.1.max(b.1)).max(0);
    across * down
}

/// Whether a line passes through a rectangle.
fn passes((from, to): Leader, room: Room) -> bool {
    let outside = from.0.max(to.0) < room.0
        || from.0.min(to.0) > room.2
        || from.1.max(to.1) < room.1
        || from.1.min(to.1) > room.3;
    if outside {
        return false;
    }
    let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).max(1);
    (0..=steps).any(|step| {
        let x = from.0 + (to.0 - from.0) * step / steps;
        let y = from.1 + (to.1 - from.1) * step / steps;
        (room.0..=room.2).contains(&x) && (room.1..=room.3).contains(&y)
    })
}

/// Whether two lines cross.
fn cross(a: Leader, b: Leader) -> bool {
    let side = |(from, to): Leader, at: Spot| {
        ((to.0 - from.0) * (at.1 - from.1) - (to.1 - from.1) * (at.0 - from.0)).signum()
    };
    side(a, b.0) * side(a, b.1) < 0 && side(b, a.0) * side(b, a.1) < 0
}

/// The name of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// The number of the mark.
    pub(crate) mark: usize,
    /// Where the name comes.
    pub(crate) room: Room,
    /// Whether the name ends at the right side of its room; or else it begins at the left.
    pub(crate) ends_right: bool,
    /// From the mark to the name, if the two are not beside each other.
    pub(crate) leader: Option<Leader>,
}

/// Places names around marks, within a frame: beside the mark if there is room, or else the nearest
/// place that there is. Names of marks that cover each other stand one below the other, with a line to
/// each.
pub(crate) fn around(marks: &[(Spot, String)], frame: Room) -> Vec<Label> {
    let mut taken = Taken {
        marks: marks.iter().map(|(spot, _)| square(*spot)).collect(),
        ..Taken::default()
    };
    for members in together(marks) {
        let first = marks[members[0]].0;
        let best = columns(first, &members, marks)
            // The first of equals: the nearest come first.
            .min_by_key(|(away, column)| away + taken.cost(column, frame));
        taken
            .labels
            .extend(best.into_iter().flat_map(|(_, column)| column));
    }
    taken.labels
}

/// What a mark covers.
const fn square((x, y): Spot) -> Room {
    (x - 6, y - 6, x + 6, y + 6)
}

/// What is there already.
#[derive(Default)]
struct Taken {
    marks: Vec<Room>,
    labels: Vec<Label>,
}

impl Taken {
    fn cost(&self, column: &[Label], frame: Room) -> i32 {
        let area = |room: Room| (room.2 - room.0) * (room.3 - room.1);
        let count = |what: bool, price: i32| if what { price } else { 0 };
        let of = |label: &Label| {
            let outside = area(label.room) - overlap(label.room, frame);
            let marks = self.marks.iter().enumerate().map(|(number, mark)| {
                let own = number == label.mark;
                let under = |leader| !own && passes(leader, *mark);
                overlap(label.room, *mark) + count(label.leader.is_some_and(under), OVER_MARK)
            });
            let own = column.iter().filter(|other| other.mark != label.mark);
            let labels = self.labels.iter().chain(own).map(|other| {
                let through = |leader: Option<Leader>, room| {
                    leader.is_some_and(|leader| passes(leader, room))
                };
                let lines = (label.leader).zip(other.leader);
                overlap(label.room, other.room)
                    + count(through(label.leader, other.room), OVER_NAME)
                    + count(through(other.leader, label.room), OVER_NAME)
                    + count(lines.is_some_and(|(a, b)| cross(a, b)), OVER_LINE)
            });
            8 * outside + marks.sum::<i32>() + labels.sum::<i32>()
        };
        column.iter().map(of).sum()
    }
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

/// Which end of a name is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Center,
}

/// Places for the names of marks that lie together, the nearest to the first of them first; and what
/// the distance costs.
fn columns<'a>(
    (x, y): Spot,
    members: &'a [usize],
    marks: &'a [(Spot, String)],
) -> impl Iterator<Item = (i32, Vec<Label>)> + 'a {
    let height = LINE * members.len() as i32;
    let mut places = vec![
        (0, Side::Left, x + 10, y - height / 2),
        (0, Side::Right, x - 10, y - height / 2),
        (0, Side::Left, x + 10, y - height - 4),
        (0, Side::Left, x + 10, y + 4),
        (0, Side::Right, x - 10, y + 4),
        (0, Side::Right, x - 10, y - height - 4),
        (0, Side::Center, x, y - height - 8),
        (0, Side::Center, x, y + 8),
    ];
    for far in (16..320).step_by(16) {
        for down in (-320..=320).step_by(16) {
            let top = y - height / 2 + down;
            let away = far + down.abs();
            places.push((away, Side::Left, x + 10 + far, top));
            places.push((away, Side::Right, x - 10 - far, top));
        }
        places.push((far, Side::Center, x, y - height - 8 - far));
        places.push((far, Side::Center, x, y + 8 + far));
    }
    places.sort_by_key(|(away, ..)| *away);
    places.into_iter().map(move |(away, side, x, top)| {
        let label = |(row, number): (usize, &usize)| {
            let (spot, name) = &marks[*number];
            let (width, y) = (text_width(name), top + LINE * row as i32);
            let left = match side {
                Side::Left => x,
                Side::Right => x - width,
                Side::Center => x - width / 2,
            };
            let room = (left, y, left + width, y + LINE);
            let edge = (
                spot.0.clamp(room.0 - 2, room.2 + 2),
                spot.1.clamp(room.1 + LINE / 2, room.3 - LINE / 2),
            );
            let alone = members.len() == 1 && away == 0;
            Label {
                mark: *number,
                room,
                ends_right: side == Side::Right,
                leader: (!alone).then_some((*spot, edge)),
            }
        };
        let column = members.iter().enumerate().map(label).collect();
        (away / 4, column)
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
        assert_eq!(close[2], sorted[0], "the highest stays the highest");
    }

    #[test]
    fn no_label_falls_off_the_end() {
        let placed = spread(&[290; 20], 0, 300);
        assert!(placed.iter().all(|y| (0..=300).contains(y)), "{placed:?}");
        assert!(spread(&[], 0, 300).is_empty());
    }

    #[test]
    fn names_cover_neither_each_other_nor_a_mark_and_lines_begin_at_their_own_mark() {
        let spots =
            (0..12)
                .map(|i| (300 + i, 150 + 2 * i))
                .chain([(20, 20), (620, 380), (330, 150)]);
        let marks: Vec<(Spot, String)> = spots.map(|at| (at, "native-queued".into())).collect();
        let frame = (0, 0, 640, 400);
        let labels = around(&marks, frame);
        assert_eq!(labels.len(), marks.len(), "every mark has its name");
        for (i, label) in labels.iter().enumerate() {
            let (spot, room) = (marks[label.mark].0, label.room);
            let area = (room.2 - room.0) * (room.3 - room.1);
            assert_eq!(overlap(room, frame), area, "{label:?} leaves the frame");
            for other in &labels[..i] {
                assert_eq!(overlap(room, other.room), 0, "{label:?} covers {other:?}");
                let through = |a: &Label, b: &Label| a.leader.is_some_and(|a| passes(a, b.room));
                assert!(!through(label, other), "{label:?} runs through {other:?}");
                assert!(!through(other, label), "{other:?} runs through {label:?}");
            }
            for (other, _) in &marks {
                assert_eq!(
                    overlap(room, square(*other)),
                    0,
                    "{label:?} covers {other:?}"
                );
            }
            match label.leader {
                Some((from, to)) => {
                    assert_eq!(from, spot, "{label:?}");
                    assert!(overlap((to.0 - 3, to.1 - 3, to.0 + 3, to.1 + 3), room) > 0);
                }
                None => {
                    let beside = (room.0 - spot.0).abs().min((room.2 - spot.0).abs());
                    assert!(
                        beside <= 12 || (room.0..room.2).contains(&spot.0),
                        "{label:?}"
                    );
                }
            }
        }
    }
}
