//! A password typed at a terminal.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};

use crate::support::{LONG, Postern, eventually_blocking};

/// A command at a terminal of its own.
struct Terminal {
    master: File,
    output: Receiver<Vec<u8>>,
    child: Child,
    screen: String,
}

impl Terminal {
    fn run(postern: &Postern, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("ours");
        unlockpt(&master).expect("open");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let open = || OpenOptions::new().read(true).write(true).open(name.to_str().expect("a path")).expect("it opens");
        let plain = postern.command(arguments);
        // setsid makes it the controlling terminal, which is /dev/tty.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg("--wait").arg(plain.as_std().get_program()).args(plain.as_std().get_args());
        command.env_clear().envs(plain.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", "/usr/bin:/bin").current_dir(plain.as_std().get_current_dir().expect("a directory"));
        command.stdin(open()).stdout(open()).stderr(Stdio::from(open()));
        let child = command.spawn().expect("setsid starts");
        drop(command);
        let master = File::from(master);
        let output = read_in_background(master.try_clone().expect("another handle"));
        Self { master, output, child, screen: String::new() }
    }

    /// Waits until the screen ends with this.
    fn shows(&mut self, text: &str) {
        while !self.screen.ends_with(text) {
            let bytes = self.output.recv_timeout(LONG);
            let bytes = bytes.unwrap_or_else(|error| panic!("no {text:?} ({error}): {}", self.screen));
            self.screen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.master).expect("its modes").local_modes
    }

    /// Types a line, once the terminal does not echo any more.
    fn types_unseen(&mut self, line: &str) {
        eventually_blocking(LONG, "the terminal does not echo", || !self.modes().contains(LocalModes::ECHO));
        writeln!(self.master, "{line}").expect("it takes the line");
    }

    /// Waits for the exit code.
    fn code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually_blocking(LONG, "the command ends", || {
            status = self.child.try_wait().expect("a status");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// Waits for the exit code and for everything that was on the screen.
    fn ended(mut self) -> (Option<i32>, String) {
        loop {
            match self.output.recv_timeout(LONG) {
                Ok(bytes) => self.screen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the command does not end: {}", self.screen),
            }
        }
        (self.code(), self.screen)
    }
}

/// Reads what is written to a terminal, until the last program that has it open is gone.
fn read_in_background(mut master: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        loop {
            match master.read(&mut bytes) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => return,
                outcome => {
                    let count = outcome.expect("a screen");
                    if sender.send(bytes[..count].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

/// Creates a user with a password that is typed twice; returns the exit code and the screen.
fn created_by_typing(first: &str, second: &str) -> (Option<i32>, String) {
    let postern = Postern::new();
    let mut terminal = Terminal::run(&postern, &["user", "create", "ada@example.org", "--name", "Ada"]);
    terminal.shows("Password: ");
    terminal.types_unseen(first);
    terminal.shows("Once more: ");
    terminal.types_unseen(second);
    terminal.ended()
}

#[test]
fn password_is_asked_for_twice_and_never_shown() {
    let (code, screen) = created_by_typing("secure_password", "secure_password");

    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("has been created") && !screen.contains("secure_password"), "{screen}");
}

#[test]
fn two_different_passwords_make_no_user() {
    let (code, screen) = created_by_typing("secure_password", "secure_passw0rd");

    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("the passwords differ"), "{screen}");
}

#[test]
fn hashes_are_not_exported_to_a_terminal() {
    let postern = Postern::new();

    let (code, screen) = Terminal::run(&postern, &["user", "export", "--with-hashes"]).ended();

    assert_eq!(code, Some(1), "{screen}");
    assert!(
        screen.contains("standard output is a terminal") && screen.contains("expected a file or a pipe"),
        "{screen}"
    );
    // Without hashes, the terminal is no reason to refuse.
    let (_, screen) = Terminal::run(&postern, &["user", "export"]).ended();
    assert!(screen.contains("no store in ./postern-data"), "{screen}");
}

#[test]
fn interrupt_at_the_prompt_restores_the_terminal() {
    let postern = Postern::new();
    let mut terminal = Terminal::run(&postern, &["user", "create", "ada@example.org", "--name", "Ada"]);
    let before = terminal.modes();

    terminal.shows("Password: ");
    terminal.types_unseen("\u{3}");
    terminal.shows("\r\n");

    assert_eq!(terminal.code(), Some(1));
    assert_eq!(terminal.modes(), before);
    assert!(!postern.path("postern-data").exists());
}
