//! Packages of a Debian suite, by apt: looked up, downloaded and unpacked, never installed.
//!
//! The machine's own suite takes the machine's own lists. Any other suite has its lists below `target/`, with a source of
//! one line: the machine's mirror, that suite. Nothing of the machine changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

/// What Debian signs its archive with; the package `debian-archive-keyring` has it.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt, looking at one suite.
pub(crate) struct Packages {
    /// Options that turn apt away from the machine's lists; none for the machine's own suite.
    options: Vec<String>,
    own_lists: bool,
}

impl Packages {
    /// The suite, or suites, that this machine installs from.
    pub(crate) const fn of_this_machine() -> Self {
        Self {
            options: Vec::new(),
            own_lists: false,
        }
    }

    /// Another suite of the same mirror, such as `trixie-backports`. Its lists are kept below `cache`, and fetched if they are
    /// not there.
    pub(crate) fn of_suite(suite: &str, cache: &Path) -> Result<Self> {
        let known =
            |character: char| character.is_ascii_alphanumeric() || "-./".contains(character);
        ensure!(
            !suite.is_empty() && suite.chars().all(known),
            "'{suite}' is no name of a suite: letters, digits, '-', '.' and '/'"
        );
        let dir = std::path::absolute(cache)?.join(format!("apt-{}", suite.replace('/', "-")));
        let lists = dir.join("lists");
        let source = dir.join("sources.list");
        let option = |name: &str, value: &Path| [s("-o"), format!("{name}={}", value.display())];
        let mut options = Vec::new();
        options.extend(option("Dir::Etc::SourceList", &source));
        options.extend(option("Dir::Etc::SourceParts", Path::new("/dev/null")));
        options.extend(option("Dir::State::Lists", &lists));
        options.extend(option("Dir::Cache", &dir.join("cache")));
        let packages = Self {
            options,
            own_lists: true,
        };
        if !dir.join("complete").is_file() {
            for needed in ["lists/partial", "cache/archives/partial"] {
                let needed = dir.join(needed);
                fs::create_dir_all(&needed)
                    .with_context(|| format!("cannot create {}", needed.display()))?;
            }
            let line = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror()?);
            fs::write(&source, line)
                .with_context(|| format!("cannot write {}", source.display()))?;
            packages.update().with_context(|| {
                format!("apt-get update of the suite {suite} failed; is there such a suite?")
            })?;
            fs::write(dir.join("complete"), "")?;
        }
        Ok(packages)
    }

    /// Fetches the lists anew.
    pub(crate) fn update(&self) -> Result<()> {
        let mut apt = self.apt("apt-get");
        // Otherwise half the lists are taken for all of them.
        apt.args(["-o", "APT::Update::Error-Mode=any"]);
        run(apt.args(["update", "-qq"]))
    }

    /// Whether [`Packages::update`] may change the lists.
    pub(crate) fn may_update(&self) -> bool {
        self.own_lists || rustix::process::geteuid().is_root()
    }

    /// All packages whose name begins so.
    pub(crate) fn names(&self, beginning: &str) -> Result<Vec<String>> {
        let output = start(self.apt("apt-cache").args(["pkgnames", beginning]))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// What a package depends on and the suite has; none if there is no such package.
    pub(crate) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let output = start(
            self.apt("apt-cache")
                .args(["depends", "--important", package]),
        )?;
        Ok(dependencies(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Downloads packages and unpacks them all into `to`, which is there afterwards as a whole or not at all.
    pub(crate) fn unpack(&self, packages: &[String], to: &Path) -> Result<()> {
        let beside = |what: &str| {
            let name = to.file_name().unwrap_or_default().to_string_lossy();
            to.with_file_name(format!("{name}.{what}"))
        };
        let downloads = fresh_dir(&beside("downloads"))?;
        run(self
            .apt("apt-get")
            .current_dir(&downloads)
            .arg("download")
            .args(packages))?;
        let half = fresh_dir(&beside("half"))?;
        let debs = list(&downloads)?;
        if debs.len() != packages.len() {
            bail!(
                "apt-get download {} left {} packages",
                packages.join(" "),
                debs.len()
            );
        }
        for deb in debs {
            run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&half))?;
        }
        let _ = fs::remove_dir_all(to);
        fs::rename(&half, to).with_context(|| format!("cannot create {}", to.display()))?;
        fs::remove_dir_all(&downloads)?;
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        apt.env("LC_ALL", "C.UTF-8").args(&self.options);
        if rustix::process::geteuid().is_root() {
            // apt's own user may not write below target/.
            apt.args(["-o", "APT::Sandbox::User=root"]);
        }
        apt
    }
}

fn s(text: &str) -> String {
    text.to_owned()
}

/// The mirror that this machine gets Debian from.
fn mirror() -> Result<String> {
    let output = start(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    mirror_in(&String::from_utf8_lossy(&output.stdout)).context(
        "apt knows no mirror of Debian: `apt-get update` as root on a Debian, or unpack a kernel package (`dpkg -x`) and name the \
         folder with --kernel",
    )
}

/// The first archive in apt's list of them that holds whole suites.
fn mirror_in(targets: &str) -> Option<String> {
    targets
        .lines()
        .filter_map(|line| line.strip_prefix("Debian "))
        .find(|uri| !uri.trim_end_matches('/').ends_with("-security"))
        .map(str::to_owned)
}

/// What `apt-cache depends` says, without packages that there are not (in angle brackets).
fn dependencies(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|package| !package.starts_with('<'))
        .map(str::to_owned)
        .collect()
}

/// What a folder holds, in the order of names.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()
    };
    let mut found = read().with_context(|| format!("cannot read {}", dir.display()))?;
    found.sort();
    Ok(found)
}

fn fresh_dir(dir: &Path) -> Result<PathBuf> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir.to_owned())
}

/// Runs a command quietly; shows what it printed if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = start(command)?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn start(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().with_context(|| {
        format!(
            "cannot start {program}: this needs a Debian with apt, or --kernel with the folder of an unpacked kernel package"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_one_of_debian_and_has_whole_suites() {
        let text = "Somewhere http://else.example/apt/\n\
                    Debian http://mirror.example/debian-security/\n\
                    Debian http://mirror.example/debian/\n";
        assert_eq!(
            mirror_in(text).as_deref(),
            Some("http://mirror.example/debian/")
        );
        assert_eq!(mirror_in("Ubuntu http://mirror.example/ubuntu/\n"), None);
    }

    #[test]
    fn packages_that_there_are_not_are_no_dependencies() {
        let text = "linux-image-7.3.4+deb13-cloud-amd64\n |Depends: <dracut>\n  PreDepends: linux-base\n  \
                    Depends: <linux-initramfs-tool>\n  Depends: linux-binary-7.3.4+deb13-cloud-amd64\n";
        assert_eq!(dependencies(text), ["linux-binary-7.3.4+deb13-cloud-amd64"]);
        assert!(dependencies("E: No packages found\n").is_empty());
    }

    #[test]
    fn what_is_no_name_of_a_suite_is_refused_before_anything_is_written() {
        for suite in ["", "a b", "x]\ndeb evil", "$(id)"] {
            assert!(Packages::of_suite(suite, Path::new("/nowhere")).is_err());
        }
    }
}
