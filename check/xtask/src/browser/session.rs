//! A headless Chromium, driven through its own driver by WebDriver's protocol.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::{ParseError, Url};

/// Flags of a browser that opens one page and makes no other request.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
];

/// The driver's process; it ends with this value.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An open browser.
pub(super) struct Session {
    client: Client,
    _profile: tempfile::TempDir,
    // Last: the browser must be closed before its driver.
    _driver: Driver,
}

/// A command that only Chromium knows.
#[derive(Debug)]
struct Chromium {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Chromium {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Session {
    /// Starts the driver and a browser with an empty profile.
    pub(super) async fn start() -> Result<Self> {
        let (driver, port) = driver()?;
        let profile = tempfile::tempdir()?;
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(wanted) = wanted else {
            bail!("capabilities are an object")
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .context("chromedriver cannot start chromium")?;
        Ok(Self {
            client,
            _profile: profile,
            _driver: driver,
        })
    }

    /// Opens a file.
    pub(super) async fn open(&self, page: &Path) -> Result<()> {
        let Ok(url) = Url::from_file_path(page) else {
            bail!("{} is no absolute path", page.display())
        };
        self.client.goto(url.as_str()).await?;
        Ok(())
    }

    /// Opens the page anew at the address that it shows now.
    pub(super) async fn open_again(&self) -> Result<()> {
        let url = self.client.current_url().await?;
        self.client.goto("about:blank").await?;
        self.client.goto(url.as_str()).await?;
        Ok(())
    }

    /// Runs a function's body in the page.
    pub(super) async fn ask(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// Presses keys while this element has the focus, as a keyboard does.
    pub(super) async fn press(&self, css: &str, keys: &str) -> Result<()> {
        let element = self.client.find(Locator::Css(css)).await;
        let element = element.with_context(|| format!("there is no {css}"))?;
        element.send_keys(keys).await?;
        Ok(())
    }

    /// Presses keys wherever the focus is.
    pub(super) async fn type_on(&self, keys: &str) -> Result<()> {
        self.client.active_element().await?.send_keys(keys).await?;
        Ok(())
    }

    /// What the page has written to its console since the last time.
    pub(super) async fn console(&self) -> Result<Vec<String>> {
        let log = self
            .chromium("se/log", json!({ "type": "browser" }))
            .await?;
        let entries = log.as_array().cloned().unwrap_or_default();
        Ok(entries.iter().map(Value::to_string).collect())
    }

    /// Tells the page what its reader prefers, and on what it is shown.
    pub(super) async fn prefer(&self, colours: &str, medium: &str) -> Result<()> {
        let features = json!([{ "name": "prefers-color-scheme", "value": colours }]);
        let media = json!({ "media": medium, "features": features });
        self.devtools("Emulation.setEmulatedMedia", media).await
    }

    /// Gives the page a window of this size, in CSS pixels.
    pub(super) async fn size(&self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await
    }

    /// What the window shows, as PNG.
    pub(super) async fn screenshot(&self) -> Result<Vec<u8>> {
        Ok(self.client.screenshot().await?)
    }

    /// The page on paper, as PDF; the page's own style sheet says on which.
    pub(super) async fn pdf(&self) -> Result<String> {
        let options = json!({
            "cmd": "Page.printToPDF",
            "params": { "preferCSSPageSize": true, "printBackground": true },
        });
        let printed = self.chromium("goog/cdp/execute", options).await?;
        let data = printed["data"].as_str();
        data.map(str::to_owned).context("printing gave no PDF")
    }

    /// Closes the browser.
    pub(super) async fn close(self) -> Result<()> {
        self.client.clone().close().await?;
        Ok(())
    }

    async fn devtools(&self, command: &str, params: Value) -> Result<()> {
        let body = json!({ "cmd": command, "params": params });
        self.chromium("goog/cdp/execute", body).await?;
        Ok(())
    }

    async fn chromium(&self, path: &'static str, body: Value) -> Result<Value> {
        let command = Chromium { path, body };
        Ok(self.client.issue_cmd(command).await?)
    }
}

/// Starts the driver at a port of its choice.
fn driver() -> Result<(Driver, u16)> {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context(
            "cannot start chromedriver; on Debian: apt-get install chromium chromium-driver",
        )?;
    let output = child.stdout.take().context("it has no output")?;
    let driver = Driver(child);
    let port = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
    Ok((driver, port.context("chromedriver did not say its port")?))
}
