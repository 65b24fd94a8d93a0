//! How a running daemon is asked, and where its numbers go.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::reader::Reader;
use crate::chain;
use crate::secret::Secret;

/// Its name in the state directory, where no other is configured.
const SOCKET: &str = "control.sock";
/// What fits into the kernel's address of a Unix socket, beside the zero that ends it.
const LONGEST: usize = 107;
/// Of a token, in bytes.
const SHORTEST: usize = 32;

/// How a running daemon is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConf {
    /// The Unix socket.
    pub socket: PathBuf,
    /// A TCP port of this host beside it.
    pub listen: Option<SocketAddr>,
    /// What who comes over TCP must know.
    pub token_file: Option<PathBuf>,
    /// Where node_exporter looks for numbers.
    pub textfile: Option<PathBuf>,
}

pub(super) fn control(r: &mut Reader, state_dir: &Path) -> ControlConf {
    let named = r.optional_path("control.socket");
    let socket = named.clone().unwrap_or_else(|| state_dir.join(SOCKET));
    let bytes = socket.as_os_str().len();
    if bytes > LONGEST {
        let why = match named {
            Some(_) => format!("has {bytes} bytes, and a socket's path may have {LONGEST}"),
            None => format!(
                "{} has {bytes} bytes, and a socket's path may have {LONGEST}; set control.socket = \"/short/path\", in a \
                 directory that is the service user's alone",
                socket.display()
            ),
        };
        r.complain("control.socket", why);
    }
    let listen = r.optional::<SocketAddr>("control.listen", "127.0.0.1:PORT");
    let token_file = r.optional_path("control.token_file");
    if let Some(at) = listen.filter(|at| !at.ip().is_loopback()) {
        let why = format!(
            "{at} can be reached from other hosts; only 127.0.0.1 or [::1] may be listened on (ssh -L leads there)"
        );
        r.complain("control.listen", why);
    }
    if listen.is_some() && token_file.is_none() {
        let why = "must be set with control.listen: every user of this host reaches a port. \
                   Make one: (umask 077; openssl rand -hex 32 > FILE)";
        r.complain("control.token_file", why);
    }
    let textfile = r.optional_path("metrics.textfile");
    if textfile.as_ref().is_some_and(|path| path.extension().is_none_or(|e| e != "prom")) {
        r.complain("metrics.textfile", "must end in .prom, or node_exporter does not read it");
    }
    ControlConf { socket, listen, token_file, textfile }
}

/// Reads the token that requests over the port must bring.
pub fn token(path: &Path) -> Result<Secret, String> {
    let token = Secret::from_file(path).map_err(|e| chain(&e))?;
    let (length, plain) = (token.expose().len(), token.expose().bytes().all(|b| b.is_ascii_graphic()));
    if length < SHORTEST || !plain {
        return Err(format!(
            "{} must hold one line of at least {SHORTEST} printable characters without spaces; make one: (umask 077; openssl rand \
             -hex 32 > {})",
            path.display(),
            path.display()
        ));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use crate::conf::{Conf, Role, Settings};

    fn complaints(set: &[(&str, &str)]) -> String {
        let of = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let settings = Settings::read(None, set.iter().map(of)).unwrap();
        Conf::check(&settings, Some(Role::Nsc)).unwrap_err().to_string()
    }

    #[test]
    fn what_would_let_others_in_is_refused_with_the_cure() {
        let told = complaints(&[("TSD_IMPORT__CONTROL__LISTEN", "0.0.0.0:9100")]);
        assert!(told.contains("control.listen: 0.0.0.0:9100 can be reached from other hosts"), "{told}");
        assert!(told.contains("control.token_file: must be set with control.listen"), "{told}");
        let told = complaints(&[("TSD_IMPORT__CONTROL__LISTEN", "[::1]:9100")]);
        assert!(!told.contains("defaults: control.listen:"), "{told}");
        let told = complaints(&[("TSD_IMPORT__METRICS__TEXTFILE", "/var/lib/node_exporter/x.txt")]);
        assert!(told.contains("metrics.textfile: must end in .prom"), "{told}");
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let with = |text: &str, mode| {
            crate::fs::write_durably(&file, text.as_bytes()).unwrap();
            crate::fs::set_mode(&file, mode).unwrap();
            super::token(&file).map(|token| token.expose().len())
        };
        let good = "0123456789abcdef0123456789abcdef";
        assert_eq!(with(&format!("{good}\n"), 0o600), Ok(32));
        assert!(with(&good[1..], 0o600).unwrap_err().contains("at least 32"));
        assert!(with(&good.replace('7', " "), 0o600).unwrap_err().contains("without spaces"));
        assert!(with(good, 0o644).unwrap_err().contains("chmod 600"));
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_names_the_cure() {
        let long = format!("/{}", "d".repeat(100));
        let told = complaints(&[("TSD_IMPORT__STATE__DIR", &long)]);
        assert!(told.contains("has 114 bytes, and a socket's path may have 107"), "{told}");
        assert!(told.contains("control.socket = \"/short/path\""), "{told}");
        let set = [("TSD_IMPORT__STATE__DIR", long.as_str()), ("TSD_IMPORT__CONTROL__SOCKET", "/run/x.sock")];
        assert!(!complaints(&set).contains("control.socket"));
    }
}
