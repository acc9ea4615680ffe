//! Completions and manual pages.

use std::{fs, io, path::Path};

use clap::Command;
use clap_complete::Shell;

use super::command::command;

/// The completions of a shell, as it reads them.
#[must_use]
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "postern", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes the manual's pages below a directory: `man1/postern.1`, `man1/postern-user.1` …
///
/// # Errors
/// What the system says.
pub fn write_manual(directory: &Path) -> io::Result<()> {
    let section = directory.join("man1");
    fs::create_dir_all(&section)?;
    // The settings stand on the first page, whole, and on no other.
    let mut command = command().mut_args(|argument| argument.global(false).hide_short_help(false));
    command.build();
    write_pages(&command, &section)
}

/// A page for a command, and for each below it but those that clap adds, which are about help.
fn write_pages(command: &Command, section: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name)
        .source(format!("postern {}", env!("CARGO_PKG_VERSION")))
        .manual("Postern")
        .render(&mut page)?;
    fs::write(section.join(format!("{name}.1")), page)?;
    let mut commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    commands.try_for_each(|command| write_pages(command, section))
}
