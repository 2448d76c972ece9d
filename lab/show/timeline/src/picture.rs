//! One event under two locks, side by side, as an SVG.
//!
//! Both panels show the same stretch of time around the event, to the same scale. The picture has a
//! background of its own and a style sheet that swaps its colours where the reader prefers dark; the
//! states differ in height and pattern too, not in colour alone.

use svg::Document;
use svg::node::element::{
    Definitions, Description, Group, Line, Marker, Path, Pattern, Rectangle, Style, Text, Title,
};

use pvqspin_report::figures::{count, time};

use crate::episode::Episode;
use crate::scene::{Doing, Place, Scene, Span};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 20.0;
const GAP: f64 = 40.0;
/// Room for the names of the lanes.
const NAMES: f64 = 52.0;
const TOP: f64 = 112.0;
const LANE: f64 = 44.0;

/// The stretch of time that is shown, from the event on, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Before it.
    pub before_ns: u64,
    /// After it.
    pub after_ns: u64,
}

/// One side.
#[derive(Clone, Copy, Debug)]
pub struct Panel<'a> {
    /// The lock.
    pub title: &'a str,
    /// What it does, in a few words.
    pub subtitle: &'a str,
    /// The run.
    pub scene: &'a Scene,
    /// The event.
    pub episode: &'a Episode,
}

/// The picture as SVG text. `caption` says what ran, and how.
#[must_use]
pub fn svg(panels: [Panel<'_>; 2], caption: &str, extent: Extent) -> String {
    let lanes = panels.iter().map(|panel| panel.scene.lanes.len()).max();
    let bottom = TOP + LANE * lanes.unwrap_or(0) as f64;
    let height = bottom + 156.0;
    let told: Vec<String> = (panels.iter())
        .map(|panel| format!("{}: {}", panel.title, summary(panel, extent).join(" ")))
        .collect();
    let mut document = Document::new()
        .set("viewBox", format!("0 0 {WIDTH} {height}"))
        .set("width", WIDTH)
        .set("height", height)
        .set("role", "img")
        .set("aria-labelledby", "t d")
        .set("font-family", "system-ui, sans-serif")
        .add(Title::new("A lock holder is preempted, without and with the hint").set("id", "t"))
        .add(
            Description::new()
                .set("id", "d")
                .add(svg::node::Text::new(told.join(" "))),
        )
        .add(Style::new(STYLE))
        .add(definitions())
        .add(
            Rectangle::new()
                .set("class", "paper")
                .set("width", "100%")
                .set("height", "100%"),
        );
    let each = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
    for (at, panel) in panels.iter().enumerate() {
        let left = MARGIN + at as f64 * (each + GAP);
        let place = Frame {
            left: left + NAMES,
            width: each - NAMES,
            bottom,
            extent,
            event_ns: panel.episode.off_ns,
        };
        document = document.add(side(panel, &place, left));
    }
    document = document.add(legend(bottom + 116.0));
    let text = words(caption, MARGIN, height - 10.0, "small");
    format!("{}\n", document.add(text))
}

/// Where a panel is, and what time it shows.
struct Frame {
    left: f64,
    width: f64,
    bottom: f64,
    extent: Extent,
    event_ns: u64,
}

impl Frame {
    fn start_ns(&self) -> u64 {
        self.event_ns.saturating_sub(self.extent.before_ns)
    }

    fn end_ns(&self) -> u64 {
        self.event_ns + self.extent.after_ns
    }

    fn x(&self, at_ns: u64) -> f64 {
        let at_ns = at_ns.clamp(self.start_ns(), self.end_ns());
        let share = (at_ns - self.start_ns()) as f64 / (self.end_ns() - self.start_ns()) as f64;
        self.left + share * self.width
    }

    fn y(lane: usize) -> f64 {
        TOP + LANE * (lane as f64 + 0.5)
    }
}

/// A state that is drawn: its class, and which spans are in it.
type State = (&'static str, fn(&Span) -> bool);

/// From the back to the front.
const STATES: [State; 5] = [
    ("off", |span| {
        span.place.is_off() && span.doing != Doing::Holds
    }),
    ("outside", |span| {
        span.place.runs() && span.doing == Doing::Outside
    }),
    ("waits", |span| {
        span.place.runs() && span.doing == Doing::Waits
    }),
    ("holds", |span| {
        span.place.runs() && span.doing == Doing::Holds
    }),
    ("stuck", |span| {
        span.place.is_off() && span.doing == Doing::Holds
    }),
];

fn side(panel: &Panel<'_>, frame: &Frame, left: f64) -> Group {
    let mut group = Group::new()
        .add(words(panel.title, left, 32.0, "title"))
        .add(words(panel.subtitle, left, 54.0, "plain"));
    for (vcpu, lane) in panel.scene.lanes.iter().enumerate() {
        let y = Frame::y(vcpu);
        let name = panel.scene.name(vcpu as u32);
        group = group.add(words(&name, left, y + 5.0, "plain"));
        for (class, is_it) in STATES {
            let data = strokes(
                lane.between(frame.start_ns(), frame.end_ns()),
                is_it,
                frame,
                y,
            );
            if !data.is_empty() {
                group = group.add(Path::new().set("class", class).set("d", data));
            }
        }
    }
    let event = frame.x(frame.event_ns);
    group = group
        .add(line((event, TOP - 22.0), (event, frame.bottom + 4.0)).set("class", "event"))
        .add(words(
            &what_happens(panel),
            event - 4.0,
            TOP - 28.0,
            "plain",
        ));
    for call in &panel.scene.calls {
        if let Some((ran, at_ns)) = call.ran
            && (frame.event_ns..=panel.episode.on_ns.min(frame.end_ns())).contains(&call.at_ns)
            && ran == panel.episode.vcpu
        {
            let (from, to) = (Frame::y(call.by as usize), Frame::y(ran as usize));
            let toward = if to > from { -14.0 } else { 14.0 };
            let arrow = line((frame.x(call.at_ns), from), (frame.x(at_ns), to + toward));
            group = group.add(arrow.set("class", "arrow").set("marker-end", "url(#tip)"));
        }
    }
    group = axis(group, frame);
    for (line, text) in summary(panel, frame.extent).iter().enumerate() {
        let y = frame.bottom + 66.0 + 21.0 * line as f64;
        group = group.add(words(text, left, y, "verdict"));
    }
    group
}

fn axis(mut group: Group, frame: &Frame) -> Group {
    let y = frame.bottom + 14.0;
    group = group.add(line((frame.left, y), (frame.left + frame.width, y)).set("class", "axis"));
    let step = 1_000_000;
    let mut at = 0;
    while at <= frame.extent.after_ns {
        let x = frame.x(frame.event_ns + at);
        group = group
            .add(line((x, y), (x, y + 6.0)).set("class", "axis"))
            .add(words(&time(at as f64), x, y + 24.0, "small middle"));
        at += step;
    }
    group
}

/// Many short lines in one path: `M` where each begins, `h` how far it goes.
fn strokes<'a>(
    spans: impl Iterator<Item = &'a Span>,
    is_it: fn(&Span) -> bool,
    frame: &Frame,
    y: f64,
) -> String {
    let mut data = String::new();
    for span in spans.filter(|span| is_it(span)) {
        let (from, to) = (frame.x(span.from_ns), frame.x(span.to_ns));
        data += &format!("M{from:.1} {y}h{:.1}", (to - from).max(0.4));
    }
    data
}

fn what_happens(panel: &Panel<'_>) -> String {
    let who = panel.scene.name(panel.episode.vcpu);
    let why = match panel.episode.place {
        Place::Preempted(why) => why.words(),
        _ => "it halts",
    };
    format!("{who} holds the lock, and loses its pCPU: {why}")
}

fn summary(panel: &Panel<'_>, extent: Extent) -> [String; 2] {
    let episode = panel.episode;
    let end = episode.off_ns + extent.after_ns;
    let taken: usize = (panel.scene.lanes.iter())
        .map(|lane| {
            let starts = lane.spans.windows(2).filter(|two| {
                let begins = two[0].doing != Doing::Holds && two[1].doing == Doing::Holds;
                begins && (episode.off_ns..end).contains(&two[1].from_ns)
            });
            starts.count()
        })
        .sum();
    let taken = match taken {
        0 => "no vCPU takes the lock".to_owned(),
        1 => "the lock is taken once".to_owned(),
        many => format!("the lock is taken {} times", count(many as f64)),
    };
    let who = panel.scene.name(episode.vcpu);
    [
        format!("{who} is back after {}.", time(episode.cost_ns() as f64)),
        format!("In {} {taken}.", time(extent.after_ns as f64)),
    ]
}

fn legend(y: f64) -> Group {
    let mut group = Group::new();
    let mut x = MARGIN;
    for (class, name, room) in [
        ("holds", "holds the lock", 140.0),
        ("stuck", "holds it, off its pCPU", 192.0),
        ("waits", "spins for it", 122.0),
        ("outside", "works outside", 138.0),
        ("off", "off its pCPU", 126.0),
    ] {
        let data = format!("M{x} {}h24", y - 5.0);
        let key = Path::new()
            .set("class", format!("{class} key"))
            .set("d", data);
        group = group.add(key).add(words(name, x + 32.0, y, "small"));
        x += room + 40.0;
    }
    group
        .add(
            line((x, y - 5.0), (x + 22.0, y - 5.0))
                .set("class", "arrow")
                .set("marker-end", "url(#tip)"),
        )
        .add(words(
            "names it, and lends it its pCPU",
            x + 32.0,
            y,
            "small",
        ))
}

fn definitions() -> Definitions {
    let tip = Marker::new()
        .set("id", "tip")
        .set("viewBox", "0 0 10 10")
        .set("refX", 8)
        .set("refY", 5)
        .set("markerUnits", "userSpaceOnUse")
        .set("markerWidth", 12)
        .set("markerHeight", 12)
        .set("orient", "auto")
        .add(Path::new().set("class", "tip").set("d", "M0 0L10 5L0 10z"));
    let hatch = Pattern::new()
        .set("id", "hatch")
        .set("width", 8)
        .set("height", 8)
        .set("patternUnits", "userSpaceOnUse")
        .set("patternTransform", "rotate(45)")
        .add(
            Rectangle::new()
                .set("class", "hatch-ground")
                .set("width", 8)
                .set("height", 8),
        )
        .add(
            Rectangle::new()
                .set("class", "hatch-line")
                .set("width", 3)
                .set("height", 8),
        );
    Definitions::new().add(tip).add(hatch)
}

fn words(text: &str, x: f64, y: f64, class: &str) -> Text {
    Text::new(text).set("x", x).set("y", y).set("class", class)
}

fn line(from: (f64, f64), to: (f64, f64)) -> Line {
    let short = |value: f64| format!("{value:.1}");
    Line::new()
        .set("x1", short(from.0))
        .set("y1", short(from.1))
        .set("x2", short(to.0))
        .set("y2", short(to.1))
}

const STYLE: &str = "
.paper{fill:#fff}
text{fill:#24292f;font-size:15px}
.title{font-size:20px;font-weight:600}
.verdict{font-weight:600}
.small{font-size:13px}
.middle{text-anchor:middle}
path{fill:none}
.holds{stroke:#2b8a3e;stroke-width:28}
.waits{stroke:#e8a317;stroke-width:18}
.outside{stroke:#a9bccf;stroke-width:10}
.off{stroke:#b6bec6;stroke-width:2}
.stuck{stroke:url(#hatch);stroke-width:28}
.key.holds,.key.stuck{stroke-width:16}.key.waits{stroke-width:12}.key.outside{stroke-width:8}
.hatch-ground{fill:#ffc9c9}.hatch-line{fill:#e03131}
.event{stroke:#e03131;stroke-width:1.5;stroke-dasharray:4 3}
.axis{stroke:#8a949e;stroke-width:1}
.arrow{stroke:#24292f;stroke-width:2.5}
.tip{fill:#24292f}
@media (prefers-color-scheme:dark){
.paper{fill:#0d1117}
text{fill:#e6edf3}
.holds{stroke:#40c057}.waits{stroke:#b8860b}.outside{stroke:#4a5a6a}.off{stroke:#57606a}
.hatch-ground{fill:#5c1a1a}.hatch-line{fill:#ff6b6b}
.event{stroke:#ff6b6b}.arrow{stroke:#e6edf3}.tip{fill:#e6edf3}
}
";

#[cfg(test)]
mod tests;
