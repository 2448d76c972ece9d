//! How the board is drawn.
//!
//! ```text
//!   12 of 96 runs, 41 s left                     q: stop after this run
//!   ==============
//!   fifo at overcommit 4, 1 µs/2 µs
//!   pCPU 0  cpu3   3311022...                    who was there, look by look
//!   queue   cpu2 -> cpu5 -> cpu3                 what each vCPU says that it waits for
//!   counters
//!   lock        acquisitions/s   longest wait    finished runs at this point
//! ```

use pvqspin_abi::RunState;
use pvqspin_report::figures::{count, share, time};

use pvqspin_timeline::strip::Charset;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Paragraph, Row, Table};

use crate::output::progress::in_words;
use crate::output::terminal;
use crate::runs::interrupt;
use crate::watch::board::{Board, on};

/// More pCPUs than this do not leave room for anything else.
const MOST_LANES: u16 = 16;

/// One colour for each vCPU, over and over.
const COLOURS: [Color; 6] = [
    Color::Green,
    Color::Yellow,
    Color::Cyan,
    Color::Magenta,
    Color::Blue,
    Color::Red,
];

/// Draws everything, with no other characters than the terminal has.
pub(crate) fn draw(frame: &mut Frame<'_>, board: &Board, charset: Charset) {
    let lanes = (board.history.len() as u16).min(MOST_LANES);
    let [top, gauge, name, pcpus, queue, counters, locks] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(lanes),
        Constraint::Length(2),
        Constraint::Length(4),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    frame.render_widget(title(board), top);
    let ratio = board.done as f64 / board.runs.max(1) as f64;
    let bar = LineGauge::default()
        .filled_style(Style::new().fg(Color::Green))
        .ratio(ratio.clamp(0.0, 1.0));
    let bar = match charset {
        Charset::Ascii => bar.filled_symbol("=").unfilled_symbol("-"),
        Charset::Unicode => bar,
    };
    frame.render_widget(bar, gauge);
    frame.render_widget(Paragraph::new(format!("\n{}", board.name)).bold(), name);
    frame.render_widget(Paragraph::new(pcpu_lines(board, pcpus)), pcpus);
    frame.render_widget(Paragraph::new(queue_line(board)), queue);
    frame.render_widget(Paragraph::new(counter_lines(board)), counters);
    frame.render_widget(lock_table(board), locks);
    if charset == Charset::Ascii {
        for cell in &mut frame.buffer_mut().content {
            let shown: String = cell.symbol().chars().map(terminal::ascii).collect();
            cell.set_symbol(&shown);
        }
    }
}

fn title(board: &Board) -> Line<'static> {
    let left = board
        .left()
        .map_or(String::new(), |left| format!(", {} left", in_words(left)));
    let keys = if board.stopping {
        interrupt::AFTER_THIS_RUN.red()
    } else {
        "q: stop after this run".dim()
    };
    Line::from(vec![
        format!("{} of {} runs{left}   ", board.done, board.runs).into(),
        keys,
    ])
}

/// Who is on each pCPU, and who was at the looks before, the latest on the right.
fn pcpu_lines(board: &Board, area: Rect) -> Vec<Line<'static>> {
    let room = usize::from(area.width).saturating_sub(20);
    (board
        .history
        .iter()
        .enumerate()
        .take(usize::from(area.height)))
    .map(|(pcpu, history)| {
        let now = on(&board.snapshot, pcpu);
        let who = now.map_or_else(|| "idle".to_owned(), |vcpu| format!("cpu{}", vcpu.cpu));
        let mut spans = vec![Span::raw(format!("pCPU {pcpu:<3} {who:<9} "))];
        let shown = history.len().saturating_sub(room);
        spans.extend(history.iter().skip(shown).map(|vcpu| match vcpu {
            None => Span::raw("."),
            Some(vcpu) => {
                let colour = COLOURS[*vcpu as usize % COLOURS.len()];
                let digit = char::from_digit(vcpu % 36, 36).unwrap_or('?');
                Span::styled(digit.to_string(), Style::new().fg(colour))
            }
        }));
        Line::from(spans)
    })
    .collect()
}

fn queue_line(board: &Board) -> Line<'static> {
    let chains: Vec<String> = (board.chains().iter())
        .map(|chain| {
            let names: Vec<String> = chain.iter().map(|cpu| format!("cpu{cpu}")).collect();
            names.join(" -> ")
        })
        .collect();
    let text = if chains.is_empty() {
        "no vCPU says which one it waits for".to_owned()
    } else {
        chains.join(", ")
    };
    Line::from(vec!["queue    ".into(), text.into()])
}

fn counter_lines(board: &Board) -> Vec<Line<'static>> {
    let snapshot = &board.snapshot;
    let of = |state: RunState| {
        snapshot
            .vcpus
            .iter()
            .filter(|vcpu| vcpu.state == state)
            .count()
    };
    let rate = board.rate.map_or("?".to_owned(), count);
    vec![
        Line::from(format!(
            "vCPUs    {} running, {} preempted, {} halted",
            of(RunState::Running),
            of(RunState::Preempted),
            of(RunState::Halted)
        )),
        Line::from(format!(
            "now      {rate} acquisitions/s; longest wait of this run {}",
            time(snapshot.longest_wait_ns as f64)
        )),
        Line::from(format!(
            "calls    yields: {}, halts: {}, kicks: {} in this run",
            count(snapshot.yields as f64),
            count(snapshot.halts as f64),
            count(snapshot.kicks as f64)
        )),
    ]
}

fn lock_table(board: &Board) -> Table<'static> {
    let rows = board.locks.iter().enumerate().map(|(index, row)| {
        let mark = if index == board.lock_index { ">" } else { " " };
        let name = format!("{mark} {}", row.name);
        let cells = match row.at(board.point) {
            None => [
                name,
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                "0".to_owned(),
            ],
            Some(so_far) => [
                name,
                count(so_far.per_s),
                time(so_far.longest_wait_ns as f64),
                share(so_far.calls),
                so_far.runs.to_string(),
            ],
        };
        let row = Row::new(cells);
        if index == board.lock_index {
            row.style(Style::new().add_modifier(Modifier::BOLD))
        } else {
            row
        }
    });
    let widths = [22, 16, 14, 12, 6].map(Constraint::Length);
    let head = [
        "  lock, at this point",
        "acquisitions/s",
        "longest wait",
        "calls/acq",
        "runs",
    ];
    Table::new(rows, widths).header(Row::new(head).style(Style::new().dim()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use clap::Parser;
    use pvqspin_abi::Cpu;
    use pvqspin_hypervisor::{Snapshot, VcpuSnapshot};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::Cli;
    use crate::runs::plan::Plan;
    use crate::runs::settings::Limits;

    fn board() -> Board {
        let options = [
            "pvq",
            "--lock",
            "fifo,ticket",
            "--overcommit",
            "2",
            "--inside",
            "1us",
        ];
        let cli = Cli::try_parse_from(options).expect("well formed");
        let limits = Limits {
            cpus: 2,
            vcpus_in_word: 100,
        };
        let plan = Plan::new(&cli.compare.compare, &limits).expect("possible");
        let mut board = Board::new(&plan);
        let run = plan.runs().next().expect("there are runs");
        board.begin("fifo at overcommit 2", &run);
        let vcpu = |vcpu: u32, state, pcpu, waiting_for: Option<usize>| VcpuSnapshot {
            vcpu,
            cpu: Cpu::new(vcpu as usize).expect("in range"),
            state,
            waiting_for: waiting_for.and_then(Cpu::new),
            pcpu: Some(pcpu),
            since_ns: 0,
        };
        let now = Instant::now();
        for (seconds, acquisitions) in [(0, 1_000), (2, 5_000)] {
            let snapshot = Snapshot {
                vcpus: vec![
                    vcpu(0, RunState::Running, 1, None),
                    vcpu(1, RunState::Preempted, 0, Some(0)),
                    vcpu(2, RunState::Running, 0, Some(1)),
                    vcpu(3, RunState::Halted, 0, None),
                ],
                acquisitions,
                longest_wait_ns: 23_000,
                yields: 12,
                ..Snapshot::default()
            };
            board.show(&snapshot, now + Duration::from_secs(seconds));
        }
        board
    }

    fn drawn(board: &Board, width: u16, height: u16) -> String {
        drawn_with(board, (width, height), Charset::Unicode)
    }

    fn drawn_with(board: &Board, (width, height): (u16, u16), charset: Charset) -> String {
        let backend = TestBackend::new(width, height);
        let mut terminal = Terminal::new(backend).expect("memory");
        terminal
            .draw(|frame| draw(frame, board, charset))
            .expect("memory");
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_the_screen() {
        let text = drawn(&board(), 90, 24);
        for part in [
            "0 of 6 runs",
            "q: stop after this run",
            "fifo at overcommit 2",
            "pCPU 0   cpu2      22",
            "pCPU 1   cpu0      00",
            "cpu2 -> cpu1 -> cpu0",
            "2 running, 1 preempted, 1 halted",
            "2 000 acquisitions/s; longest wait of this run 23 µs",
            "yields: 12",
            "> fifo",
            "  ticket",
        ] {
            assert!(text.contains(part), "no '{part}' on\n{text}");
        }
    }

    #[test]
    fn a_terminal_without_unicode_gets_none() {
        let mut board = board();
        board.done = 3;
        let text = drawn_with(&board, (90, 24), Charset::Ascii);
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("longest wait of this run 23 us"), "{text}");
        assert!(text.contains("===---"), "{text}");
        assert!(!drawn(&board, 90, 24).is_ascii());
    }

    #[test]
    fn finished_runs_and_a_wish_to_stop_are_seen() {
        let mut board = board();
        let outcome = pvqspin_load::Outcome {
            acquisitions: 8_000,
            duration_ns: 2_000_000_000,
            ..pvqspin_load::summarise(
                &[],
                &pvqspin_load::Account {
                    id: pvqspin_load::WorkloadId::HotLock,
                    entered: 0,
                    class_sizes: vec![1],
                },
                2_000_000_000,
            )
        };
        let limits = Limits {
            cpus: 2,
            vcpus_in_word: 100,
        };
        let cli = Cli::try_parse_from(["pvq"]).expect("well formed");
        let plan = Plan::new(&cli.compare.compare, &limits).expect("possible");
        let run = plan.runs().next().expect("there are runs");
        let facts = crate::runs::plan::facts(plan.locks[0]);
        let record = pvqspin_report::Record::new(&facts, &plan.point(&run), 0, &outcome);
        board.elapsed = Duration::from_secs(10);
        board.end(&record);
        board.stopping = true;
        let text = drawn(&board, 90, 24);
        for part in ["1 of 6 runs, 51 s left", "stopping after this run", "4 000"] {
            assert!(text.contains(part), "no '{part}' on\n{text}");
        }
    }

    #[test]
    fn no_terminal_is_too_small() {
        for (width, height) in [(1, 1), (20, 3), (300, 100)] {
            drawn(&board(), width, height);
        }
    }
}
