//! The study: runs every grid of a folder, and writes the tables that its files ask for into the
//! study's document, and the pictures beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pvqspin_report::files;
use pvqspin_report::pareto::Drawn;
use pvqspin_sweep::document;
use pvqspin_sweep::journal::{Head, Journal};
use pvqspin_sweep::output;
use pvqspin_sweep::picture::{self, Picture};
use pvqspin_sweep::plan::Plan;
use pvqspin_sweep::point::Row;
use pvqspin_sweep::run::{Told, run as run_points};
use pvqspin_sweep::source::Source;
use pvqspin_sweep::table::{self, Table};

use crate::options::sweep::StudyArgs;
use crate::output::failure::{Done, Failure, print};
use crate::output::progress::Progress;
use crate::runs::interrupt;
use crate::runs::settings::usable_cpus;
use crate::sweep;
use crate::sweep::files as sweep_files;

/// Where finished points are kept until all are there.
const JOURNALS: &str = "results";

/// One file of the study.
struct Part {
    name: String,
    plan: Plan,
    tables: Vec<Table>,
    pictures: Vec<Picture>,
}

impl Part {
    fn journal(&self) -> PathBuf {
        Path::new(JOURNALS).join(format!("study-{}.journal", self.name))
    }
}

/// Runs `cargo xtask study`.
pub(crate) fn run(args: &StudyArgs) -> Done {
    let parts = parts(args).map_err(Failure::BadInput)?;
    let before = fs::read_to_string(&args.doc)
        .with_context(|| format!("cannot read the document {}", args.doc.display()))
        .map_err(Failure::BadInput)?;
    // Whether every table has its place, before minutes go into filling it.
    let empty = tables(&parts, &vec![Vec::new(); parts.len()], args.only.is_empty());
    document::fill(&before, &empty).map_err(Failure::BadInput)?;
    if !args.check {
        files::check_writable(&args.doc).map_err(Failure::BadInput)?;
    }
    let _ = interrupt::listen_within_runs();
    fs::create_dir_all(JOURNALS)
        .with_context(|| format!("cannot make the folder {JOURNALS}"))
        .map_err(Failure::BadInput)?;
    if let Some(folder) = &args.rows {
        // Before anything runs: it would be a pity to find out afterwards.
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::bad_input(format!(
                "--rows: cannot make the folder {}: {error}",
                folder.display()
            ))
        })?;
    }
    let rows = simulate(&parts, args)?;
    if let Some(folder) = &args.rows {
        for (part, rows) in parts.iter().zip(&rows) {
            let csv = folder.join(format!("{}.csv", part.name));
            sweep_files::write_csv(rows, &csv).map_err(Failure::Failed)?;
        }
    }
    let tables = tables(&parts, &rows, args.only.is_empty());
    let pictures = pictures(&parts, &rows, &args.doc).map_err(Failure::Failed)?;
    let after = document::fill(&before, &tables).map_err(Failure::Failed)?;
    let after = document::name_pictures(&after, &words_of(&pictures));
    let finished = || {
        // Only now, when the rows have served.
        let mut removed = parts.iter().map(|part| fs::remove_file(part.journal()));
        removed.try_for_each(|removed| removed.map_err(Failure::failed))
    };
    let doc = args.doc.display();
    let stale: Vec<&(PathBuf, Drawn)> = (pictures.iter())
        .filter(|(path, drawn)| fs::read(path).ok().as_deref() != Some(drawn.svg.as_bytes()))
        .collect();
    if before == after && stale.is_empty() {
        finished()?;
        return print(&format!("{doc} says what the grids give\n"));
    }
    if args.check {
        // The rows are kept: `cargo xtask study` is about to want them.
        let what = match stale.first() {
            Some((path, _)) if before == after => path.display().to_string(),
            _ => doc.to_string(),
        };
        return Err(Failure::failed(format!(
            "{what} does not say what the grids give; `cargo xtask study` writes it anew"
        )));
    }
    let mut written = String::new();
    for (path, _) in &stale {
        let folder = path.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))
            .map_err(Failure::Failed)?;
    }
    let stale = stale.into_iter().map(|(path, drawn)| (path, &drawn.svg));
    for (path, text) in stale.chain([(&args.doc, &after)]) {
        files::write_atomically(path, |to| to.write_all(text.as_bytes()))
            .map_err(Failure::Failed)?;
        written += &format!("written: {}\n", path.display());
    }
    finished()?;
    print(&written)
}

fn parts(args: &StudyArgs) -> Result<Vec<Part>> {
    let folder = args.grids.display();
    let entries = fs::read_dir(&args.grids)
        .with_context(|| format!("cannot read the folder of grids {folder}"))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    let name = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    };
    let known: Vec<String> = paths.iter().map(|path| name(path)).collect();
    for only in &args.only {
        ensure!(
            known.contains(only),
            "--only {only}: there is no such file in {folder}; there are: {}",
            known.join(", ")
        );
    }
    ensure!(!paths.is_empty(), "there are no grids in {folder}");
    let wanted = |name: &String| args.only.is_empty() || args.only.contains(name);
    let parts = paths.iter().map(|path| (name(path), path));
    parts
        .filter(|(name, _)| wanted(name))
        .map(|(name, path)| part(name, path))
        .collect()
}

fn part(name: String, path: &Path) -> Result<Part> {
    let plan = sweep::read(path)?;
    let text = fs::read_to_string(path)?;
    let shown = path.display().to_string();
    let source = Source {
        name: &shown,
        text: &text,
    };
    Ok(Part {
        name,
        plan,
        tables: table::tables(source)?,
        pictures: picture::pictures(source)?,
    })
}

/// The rows of each part, from the journal of an earlier call as far as that went.
fn simulate(parts: &[Part], args: &StudyArgs) -> Result<Vec<Vec<Row>>, Failure> {
    let threads = args.threads.unwrap_or_else(usable_cpus);
    let mut begun = Vec::new();
    for part in parts {
        let head = Head::new(&part.plan, None);
        let journal = part.journal();
        begun.push(Journal::open(&journal, &head, args.restart).map_err(Failure::BadInput)?);
    }
    let all = |part: &Part| part.plan.part(None);
    let missing = (parts.iter().zip(&begun))
        .map(|(part, (_, rows))| sweep::missing(&all(part), rows))
        .collect::<Vec<_>>();
    let mut progress = Progress::new(missing.iter().map(Vec::len).sum());
    let mut rows_of_all = Vec::new();
    for ((part, (mut journal, mut rows)), missing) in parts.iter().zip(begun).zip(missing) {
        run_points(&part.plan, &missing, threads, interrupt::asked, |told| {
            let row = match told {
                Told::Underway(parts) => {
                    progress.within(parts);
                    return Ok(());
                }
                Told::Done(row) => *row,
            };
            // A table without all of its rows says something else: the first failure is the last.
            let row = row.map_err(Failure::failed)?;
            progress.begin(&row.facts.grid);
            journal.add(&row).map_err(Failure::Failed)?;
            rows.push(row);
            progress.end();
            Ok::<(), Failure>(())
        })?;
        if rows.len() < part.plan.points.len() {
            return Err(Failure::Interrupted);
        }
        output::sort(&mut rows);
        rows_of_all.push(rows);
    }
    Ok(rows_of_all)
}

/// Every table by name. What is about all rows is left out where not all are there.
fn tables(parts: &[Part], rows: &[Vec<Row>], whole: bool) -> BTreeMap<String, String> {
    let all: Vec<Row> = rows.iter().flatten().cloned().collect();
    let mut tables = BTreeMap::new();
    for (part, rows) in parts.iter().zip(rows) {
        for table in &part.tables {
            let rows = match (table.is_about_all(), whole) {
                (true, false) => continue,
                (true, true) => &all,
                (false, _) => rows,
            };
            tables.insert(table.name.clone(), table.markdown(rows));
        }
    }
    tables
}

/// The folder of the pictures, beside the document.
const PICTURES: &str = "generated";

/// Every picture, with its file: `generated/study-NAME.svg` beside `study.md`.
fn pictures(parts: &[Part], rows: &[Vec<Row>], doc: &Path) -> Result<Vec<(PathBuf, Drawn)>> {
    let stem = doc.file_stem().unwrap_or_default().to_string_lossy();
    let folder = doc.with_file_name(PICTURES);
    let mut all = Vec::new();
    for (part, rows) in parts.iter().zip(rows) {
        for picture in &part.pictures {
            for (name, drawn) in picture.draw(rows)? {
                all.push((folder.join(format!("{stem}-{name}.svg")), drawn));
            }
        }
    }
    Ok(all)
}

/// What each picture shows, by the file as the document names it.
fn words_of(pictures: &[(PathBuf, Drawn)]) -> BTreeMap<String, String> {
    let entry = |(path, drawn): &(PathBuf, Drawn)| {
        let file = path.file_name()?.to_str()?;
        Some((format!("{PICTURES}/{file}"), drawn.words.clone()))
    };
    pictures.iter().filter_map(entry).collect()
}
