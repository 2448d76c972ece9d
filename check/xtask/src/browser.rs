//! Pages of results in a real browser: that they are shown, and that everything on them works.
//!
//! ```text
//!   pvq simulate, pvq report ──> pages ──> chromium ──> problems.js, keys ──> what is wrong
//!     21 locks; two files; strings that are no names      light, dark, phone, paper
//! ```

mod pages;
mod session;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::session::Session;

/// Says what is wrong with a page as it is shown.
const PROBLEMS: &str = include_str!("browser/problems.js");

/// The keys, as WebDriver writes them.
const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const DOWN: &str = "\u{e015}";
const UP: &str = "\u{e013}";
const SPACE: &str = " ";

/// How a page may be shown: a name, the reader's colours, the medium, and the window.
const VIEWS: [(&str, &str, &str, u32, u32); 5] = [
    ("light", "light", "screen", 1_400, 1_000),
    ("dark", "dark", "screen", 1_400, 1_000),
    ("phone", "light", "screen", 360, 740),
    ("phone-dark", "dark", "screen", 400, 860),
    // A4 across, less its margins.
    ("paper", "dark", "print", 1_047, 718),
];

/// Looks at pages, or at one that is there already.
pub(crate) fn check(screenshots: Option<&Path>, page: Option<&Path>) -> Result<()> {
    if let Some(folder) = screenshots {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let made = tempfile::tempdir()?;
    let pages = match page {
        Some(page) => vec![fs::canonicalize(page)?],
        None => pages::make(made.path())?,
    };
    runtime.block_on(async {
        let session = Session::start().await?;
        let mut wrong = Vec::new();
        for page in &pages {
            let name = page.file_stem().unwrap_or_default().display().to_string();
            let found = look(&session, page, &name, screenshots).await;
            wrong.extend(found.with_context(|| format!("page {name}"))?);
        }
        if page.is_none() {
            let found = use_it(&session, &pages[0]).await;
            wrong.extend(found.context("using a page")?);
        }
        session.close().await?;
        ensure!(
            wrong.is_empty(),
            "the pages do not work:\n  {}",
            wrong.join("\n  ")
        );
        println!(
            "browser: {} pages, {} views each: all works",
            pages.len(),
            VIEWS.len()
        );
        Ok(())
    })
}

/// Everything that is wrong with a page, in every way of showing it.
async fn look(
    session: &Session,
    page: &Path,
    name: &str,
    screenshots: Option<&Path>,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (view, colours, medium, width, height) in VIEWS {
        session.prefer(colours, medium).await?;
        session.size(width, height).await?;
        session.open(page).await?;
        let problems = session.ask(PROBLEMS).await?;
        let problems = problems.as_array().context("the script gave no list")?;
        let mut found: Vec<String> = problems.iter().map(Value::to_string).collect();
        found.extend(session.console().await?);
        let dark = session
            .ask("return getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'")
            .await?;
        if dark != (colours == "dark" && medium == "screen") {
            found.push(format!("dark: {dark}"));
        }
        wrong.extend(
            found
                .into_iter()
                .map(|what| format!("{name}, {view}: {what}")),
        );
        if let Some(folder) = screenshots {
            let full = session
                .ask("return document.documentElement.scrollHeight")
                .await?;
            let full = full.as_u64().unwrap_or(1_000).min(12_000);
            session.size(width, full as u32).await?;
            let picture = folder.join(format!("{name}-{view}.png"));
            fs::write(picture, session.screenshot().await?)?;
        }
    }
    let pdf = session.pdf().await?;
    if let Some(folder) = screenshots {
        fs::write(folder.join(format!("{name}.pdf.base64")), pdf)?;
    }
    Ok(wrong)
}

/// Everything that does not do what its key should do.
async fn use_it(session: &Session, page: &Path) -> Result<Vec<String>> {
    session.prefer("light", "screen").await?;
    session.size(1_400, 1_000).await?;
    session.open(page).await?;
    let mut wrong = Vec::new();
    let mut expect = |what: &str, found: Value, expected: Value| {
        if found != expected {
            wrong.push(format!("{what}: {found}, not {expected}"));
        }
    };
    // The column of `longest`, sorted by a key, both ways, by size and not by letters.
    let at = session
        .ask("const heads = [...document.querySelectorAll('#runs thead th')]; return heads.findIndex(\
              (head) => head.textContent === 'longest') + 1")
        .await?;
    let button = format!("#runs thead th:nth-child({at}) button");
    let sorted = format!(
        "const cells = [...document.querySelectorAll('#runs tbody td:nth-child({at})')]; \
         const values = cells.map((cell) => Number(cell.dataset.value)); \
         const up = values.every((value, i) => !i || values[i - 1] <= value); \
         const down = values.every((value, i) => !i || values[i - 1] >= value); \
         const head = document.querySelector('#runs thead th:nth-child({at})'); \
         return [head.ariaSort, up, down, new Set(values).size > 5]"
    );
    session.press(&button, ENTER).await?;
    expect(
        "Enter sorts",
        session.ask(&sorted).await?,
        serde_json::json!(["ascending", true, false, true]),
    );
    session.press(&button, SPACE).await?;
    expect(
        "Space sorts back",
        session.ask(&sorted).await?,
        serde_json::json!(["descending", false, true, true]),
    );
    session.press(&button, TAB).await?;
    let next = "const head = document.activeElement.closest('th'); return [head?.cellIndex, head?.closest('table').id]";
    expect(
        "Tab goes to the next heading",
        session.ask(next).await?,
        serde_json::json!([at, "runs"]),
    );
    session.type_on(ENTER).await?;
    let only =
        "return document.querySelectorAll('#runs thead [aria-sort]:not([aria-sort=none])').length";
    expect("one column is sorted", session.ask(only).await?, 1.into());

    // The best comes first, and for throughput that is the highest.
    let speed = "#runs thead th[data-first=descending] button";
    session.press(speed, ENTER).await?;
    let way = "return document.querySelector('#runs thead th[data-first=descending]').ariaSort";
    let descending = session.ask(way).await?;
    expect("the highest comes first", descending, "descending".into());

    // A filter.
    let shown = "return [...document.querySelectorAll('#runs tbody tr')].filter((row) => row.getClientRects()\
                 .length).length";
    let count = async |css: &str| -> Result<u64> {
        let script = format!("return document.querySelectorAll({css:?}).length");
        Ok(session.ask(&script).await?.as_u64().unwrap_or(0))
    };
    let (all, locks) = (session.ask(shown).await?, count("[data-shows]").await?);
    let points = all.as_u64().unwrap_or(0) / locks.max(1);
    session.press("form[data-for=runs] select", DOWN).await?;
    let chosen = session.ask(shown).await?;
    expect("an overcommit chosen leaves its rows", chosen, locks.into());
    let said = "return document.querySelector('#runs-status').textContent";
    expect(
        "it is said",
        session.ask(said).await?,
        format!("{locks} of {all} rows").into(),
    );
    session.press("form[data-for=runs] select", UP).await?;
    expect("all come back", session.ask(shown).await?, all.clone());

    // A lock that is hidden is hidden everywhere, and leaves no gap.
    session.press("[data-shows='0']", SPACE).await?;
    let left = "return [...document.querySelectorAll(\"[data-lock='0']\")].filter((part) => part.getClientRects()\
                .length).length";
    let rest = all.as_u64().unwrap_or(0) - points;
    let gaps = "return [...document.querySelectorAll('svg.chart[data-row]')].map((chart) => { \
                const tops = new Map(); \
                for (const part of chart.querySelectorAll('.lock')) { \
                  const text = part.querySelector('text'); \
                  if (!text?.getClientRects().length || tops.has(part.dataset.lock)) continue; \
                  tops.set(part.dataset.lock, text.getBoundingClientRect().top); \
                } \
                const sorted = [...tops.values()].sort((a, b) => a - b); \
                const steps = sorted.slice(1).map((top, i) => top - sorted[i]); \
                return Math.max(...steps) - Math.min(...steps) < 1; }).every(Boolean)";
    // Once as it was chosen, and once as the address says.
    for when in ["hidden", "after the address was opened anew"] {
        expect(
            &format!("a lock is nowhere, {when}"),
            session.ask(left).await?,
            0.into(),
        );
        expect(
            &format!("its rows are gone, {when}"),
            session.ask(shown).await?,
            rest.into(),
        );
        expect(
            &format!("no row is empty, {when}"),
            session.ask(gaps).await?,
            true.into(),
        );
        session.open_again().await?;
    }
    session.press("[data-locks=none]", ENTER).await?;
    let parts = count("figure:not([hidden]), .panel:not([hidden])").await?;
    expect("without locks there is no picture", parts.into(), 0.into());
    session.press("[data-locks=all]", ENTER).await?;
    expect("all come back", session.ask(shown).await?, all);
    let order = "return document.querySelector('#runs thead th[data-first=descending]').ariaSort";
    let kept = session.ask(order).await?;
    expect("the address keeps the order", kept, "descending".into());

    // The reader may want other colours than the system.
    session.press("#dark", SPACE).await?;
    let dark = "return [document.querySelector('#dark').ariaPressed, \
                getComputedStyle(document.body).backgroundColor, \
                getComputedStyle(document.querySelector('svg.chart text')).fill]";
    let expected = serde_json::json!(["true", "rgb(13, 17, 23)", "rgb(215, 221, 227)"]);
    expect(
        "the switch makes it dark",
        session.ask(dark).await?,
        expected,
    );
    session.open(page).await?;
    let kept = "return document.querySelector('#dark').ariaPressed";
    expect("it is kept", session.ask(kept).await?, "true".into());
    session.press("#dark", ENTER).await?;
    expect("and back", session.ask(kept).await?, "false".into());

    // The table of a picture.
    session.press("figure details summary", ENTER).await?;
    let open = "return document.querySelector('figure details').open && \
                document.querySelector('figure details table').getClientRects().length > 0";
    expect(
        "figures of a picture open",
        session.ask(open).await?,
        true.into(),
    );
    for line in session.console().await? {
        wrong.push(line);
    }
    Ok(wrong
        .into_iter()
        .map(|what| format!("keys: {what}"))
        .collect())
}
