//! Completions for shells, and manual pages: both made from the command line's own definition.

use std::io;
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output::failure::{Done, Failure, print};

/// Runs `pvq completions`.
pub(crate) fn completions(shell: Shell) -> Done {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pvq", &mut text);
    print(&String::from_utf8_lossy(&text))
}

/// Runs `pvq man`.
pub(crate) fn pages(into: Option<&Path>) -> Done {
    let command = Cli::command();
    match into {
        None => {
            let mut text = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut text);
            rendered.map_err(Failure::failed)?;
            print(&String::from_utf8_lossy(&text))
        }
        Some(folder) => {
            written(command, folder)
                .with_context(|| format!("cannot write manual pages into {}", folder.display()))
                .map_err(Failure::BadInput)?;
            print(&format!("written: {}\n", folder.join("pvq*.1").display()))
        }
    }
}

fn written(command: clap::Command, folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(command, folder)
}
