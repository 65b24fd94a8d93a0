//! How a command ends: exit code and words.
use std::fmt::{Arguments, Display};
use std::io::{ErrorKind, Write};

/// A command that did not succeed.
#[derive(Debug)]
pub struct Exit {
    /// 1 the answer is no; 69 a stop file forbids it (EX_UNAVAILABLE); 75 try again later (EX_TEMPFAIL); 78 a person must mend configuration or state (EX_CONFIG).
    pub code: u8,
    /// For stderr; empty if everything was said.
    pub why: String,
}

impl Exit {
    /// The answer is no.
    pub fn no(why: impl Display) -> Self {
        Self { code: 1, why: why.to_string() }
    }

    /// Somebody wants that it does not run. Not 0: a service of `Type=notify` that ends before it was ready counts as
    /// failed and would be started again and again; 69 can be named in `RestartPreventExitStatus`.
    pub fn forbidden(why: impl Display) -> Self {
        Self { code: 69, why: why.to_string() }
    }

    /// It may work later.
    pub fn temporary(why: impl Display) -> Self {
        Self { code: 75, why: why.to_string() }
    }

    /// A person must mend something.
    pub fn config(why: impl Display) -> Self {
        Self { code: 78, why: why.to_string() }
    }
}

/// One line to stdout. A reader that went away (`| head`) is not an error of ours.
pub fn say(line: Arguments<'_>) -> Result<(), Exit> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Exit::no(format!("could not write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}

/// Text to stdout, as it is. `false`: whoever read it has gone, so there is no use in saying more.
pub fn show(text: &str) -> Result<bool, Exit> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Exit::no(format!("could not write to stdout: {e}"))),
    }
}
