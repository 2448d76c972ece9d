//! Files that people write and pass around: grids and profiles in TOML, results in JSON and CSV, and
//! the journals of shards.
//!
//! Whatever stands in them, the answer is a value or an error that says where and what, and never a
//! panic. What was read can be written, and reads as the same.

use std::io;
use std::path::PathBuf;

use pvqspin_report::csv_rows::write_csv;
use pvqspin_report::load::Source as Results;
use pvqspin_report::page::Page;
use pvqspin_report::schema::write_json;
use pvqspin_report::sets::Set;
use pvqspin_report::{Report, normalise, sentences, summarise, table};
use pvqspin_simulator::Profile;
use pvqspin_sweep::merge::merge_parts;
use pvqspin_sweep::source::Source;
use pvqspin_sweep::{document, grid, journal, output};

/// A grid of simulations, and a document with places for tables.
///
/// ```
/// pvqspin_hostile::grid_text(b"[[grid]]\nname = \"a\"\npcpus = [1, 2]\n");
/// ```
pub fn grid_text(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else {
        return;
    };
    let source = Source {
        name: "grid.toml",
        text,
    };
    match grid::points(source) {
        Ok(points) => {
            assert!(points.len() <= grid::MAX_POINTS);
            for point in points {
                let sound = point.config.validate();
                assert!(sound.is_ok(), "{sound:?}: {point:?}");
            }
        }
        Err(error) => assert!(error.to_string().starts_with("grid.toml"), "{error}"),
    }
    let _ = document::fill(text, &std::collections::BTreeMap::new());
}

/// A machine profile.
///
/// ```
/// let flat = pvqspin_simulator::Profile::named("flat").unwrap();
/// pvqspin_hostile::profile_text(flat.to_toml().as_bytes());
/// ```
pub fn profile_text(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else {
        return;
    };
    match Profile::parse(text) {
        Ok(profile) => {
            let again = Profile::parse(&profile.to_toml());
            assert!(again.is_ok_and(|again| again == profile), "{profile:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The results of a comparison.
///
/// ```
/// pvqspin_hostile::results_text(b"{}");
/// ```
pub fn results_text(input: &[u8]) {
    let Ok(mut report) = serde_json::from_slice::<Report>(input) else {
        return;
    };
    let mut written = Vec::new();
    // JSON has no infinite numbers; what has none is read again as it was.
    if write_json(&report, &mut written).is_ok() {
        let again = serde_json::from_slice::<Report>(&written);
        assert!(again.is_ok(), "{again:?}");
    }
    normalise(&mut report.results);
    let points = summarise(&report.results);
    for point in &points {
        let _ = (table::render(point), table::render_threads(point));
    }
    let _ = sentences::sentences(&points, pvqspin_report::repeats::Evidence::Measured);
    assert!(write_csv(&report, io::sink()).is_ok());
}

/// A file for `pvq report`, whichever kind it is: read, put into sets, and drawn.
///
/// ```
/// pvqspin_hostile::page_text(b"lock,throughput_over_bound\nfifo,0.9\n");
/// ```
pub fn page_text(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else {
        return;
    };
    match Results::parse(text, "input") {
        Ok(source) => {
            // Twice, so that there is something to put side by side.
            for sources in [vec![source.clone()], vec![source.clone(), source]] {
                let page = Page::new(&Set::of(sources), Some("pictures"));
                assert!(page.is_ok_and(|page| page.html().ends_with("</html>")));
            }
        }
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

/// The files of shards for `pvq sweep --merge`, with a zero byte between each two.
///
/// ```
/// pvqspin_hostile::journals_text(b"{\"journal\":1}\n\0{\"journal\":1}\n");
/// ```
pub fn journals_text(input: &[u8]) {
    let mut parts = Vec::new();
    for (number, text) in input.split(|byte| *byte == 0).enumerate() {
        let name = format!("part-{number}");
        match journal::parse(text, &name) {
            Ok(contents) => parts.push((PathBuf::from(name), contents)),
            Err(error) => assert!(error.to_string().starts_with(&name), "{error}"),
        }
    }
    match merge_parts(parts) {
        Ok(merged) => {
            assert!(merged.rows.len() + merged.failed.len() <= grid::MAX_POINTS);
            assert!(output::write_csv(&merged.rows, io::sink()).is_ok());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
