//! Completions and manual pages.

use std::{fs, io, path::Path};

use clap::Command;
use clap_complete::Shell;

use super::command::command;

/// Returns the completion script of a shell.
#[must_use]
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "postern", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a manual page for each command into a directory: `man1/postern.1`, `man1/postern-user.1` …
///
/// # Errors
/// Returns the error of the file system.
pub fn write_manual(directory: &Path) -> io::Result<()> {
    let section = directory.join("man1");
    fs::create_dir_all(&section)?;
    // Only the first page lists the settings.
    let mut command = command().mut_args(|argument| argument.global(false).hide_short_help(false));
    command.build();
    write_pages(&command, &section)
}

/// Writes a page for a command and for each of its subcommands, except those that clap adds for help.
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
