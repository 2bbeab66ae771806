//! `rowcast password`: reads one, prints its hash.

use std::io::{self, BufRead, IsTerminal};
use std::process::{Command, Stdio};

use anyhow::Context;

/// Of a terminal, without showing it; else the first line of standard input.
pub(crate) fn run() -> anyhow::Result<()> {
    let stdin = io::stdin();
    let password = if stdin.is_terminal() {
        eprint!("password: ");
        let _hidden = Hidden::begin();
        let password = line(&mut stdin.lock())?;
        eprintln!();
        password
    } else {
        line(&mut stdin.lock())?
    };
    crate::say(&format!("{}\n", rowcast::auth::hash_password(&password)?));
    Ok(())
}

fn line(input: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line).context("the password cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// While it lives, the terminal does not show what is typed.
struct Hidden;

impl Hidden {
    fn begin() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        stty("echo");
    }
}

/// Where there is no stty, what is typed is seen.
fn stty(what: &str) {
    let _ = Command::new("stty").arg(what).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
}
