//! A store that costs next to nothing, so that what is measured is the client: `PUT` is discarded, `GET` is answered from the page
//! cache. `scripts/bench` starts it between our program and the others.
//!
//! ```text
//! transfer serve --data DIR [--tls PEM]
//! ```
//! It prints `listening PORT` and serves on loopback until its stdin ends, so that it never outlives who started it; then it
//! prints how many requests and bytes there were. `--tls` makes a certificate of its own and writes it to that file.
//!
//! What was put can be fetched if a file of the same name and size lies below `DIR` (`…/<set>/r1/<file>` or `…/<set>/<file>` is
//! `DIR/<set>/<file>`), or if it was small and is none of those files: manifests and commits are kept. So a package can be sent to
//! it, and received from it, though no byte of its payload was stored.
mod objects;
mod s3;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use objects::Objects;

/// Read from a connection in one go: enough that system calls are not what is measured.
const READ: usize = 1 << 20;

const USAGE: &str = "usage: transfer serve --data DIR [--tls PEM] (started by scripts/bench, which measures; by itself it does nothing)";

struct Asked {
    data: PathBuf,
    /// Where our certificate goes.
    tls: Option<PathBuf>,
}

fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let (mut data, mut tls) = (None, None);
    while let Some(word) = words.next() {
        let mut value = || words.next().map(PathBuf::from).ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--data" => data = Some(value()?),
            "--tls" => tls = Some(value()?),
            odd => return Err(format!("{odd:?} is not known")),
        }
    }
    Ok(Asked { data: data.ok_or("--data is missing")?, tls })
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    // `cargo bench` starts every bench, with words of its own.
    if words.next().as_deref() != Some("serve") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let served = asked(words).and_then(|asked| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.map_err(|e| format!("no runtime: {e}"))?.block_on(serve(asked))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("transfer: {why}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(asked: Asked) -> Result<(), String> {
    let acceptor = asked.tls.map(certified).transpose()?;
    let objects = Arc::new(Objects::new(asked.data)?);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| format!("no port: {e}"))?;
    let port = listener.local_addr().map_err(|e| format!("no port: {e}"))?.port();
    let mut out = std::io::stdout();
    writeln!(out, "listening {port}")
        .and_then(|()| out.flush())
        .map_err(|e| format!("nobody listens: {e}"))?;
    let (mut stdin, mut word) = (tokio::io::stdin(), [0u8; 64]);
    loop {
        tokio::select! {
            line = listener.accept() => {
                match line {
                    Ok((line, _)) => drop(tokio::spawn(connection(line, acceptor.clone(), objects.clone()))),
                    // A client that went away before its turn, or more connections than open files: the next one may be in order.
                    Err(e) => {
                        eprintln!("transfer: could not accept a connection: {e}");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
            // Each line asks for the counts since the last one.
            read = stdin.read(&mut word) => {
                let ends = read.map_err(|e| format!("could not read stdin: {e}"))? == 0;
                writeln!(out, "{}", objects.counts()).and_then(|()| out.flush()).map_err(|e| e.to_string())?;
                if ends {
                    return Ok(());
                }
            }
        }
    }
}

/// A certificate for loopback, whose own word has to be taken for it: it is written to `file`.
fn certified(file: PathBuf) -> Result<TlsAcceptor, String> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let house = rcgen::generate_simple_self_signed(names).map_err(|e| format!("no certificate: {e}"))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(house.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|c| c.with_no_client_auth().with_single_cert(vec![house.cert.der().clone()], key));
    let config = config.map_err(|e| format!("no TLS: {e}"))?;
    tsd_import::fs::write_durably(&file, house.cert.pem().as_bytes()).map_err(|e| tsd_import::chain(&e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn connection(line: TcpStream, acceptor: Option<TlsAcceptor>, objects: Arc<Objects>) {
    let served = async {
        line.set_nodelay(true).map_err(|e| e.to_string())?;
        match acceptor {
            Some(acceptor) => {
                let line = acceptor.accept(line).await.map_err(|e| format!("TLS: {e}"))?;
                http(line, objects).await
            }
            None => http(line, objects).await,
        }
    };
    // A client that goes away between two requests is in order; whatever else there is shows in what the client says.
    if let Err(why) = served.await {
        eprintln!("transfer: a connection ended: {why}");
    }
}

async fn http<L>(line: L, objects: Arc<Objects>) -> Result<(), String>
where
    L: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let objects = objects.clone();
        async move { s3::answer(&objects, request).await }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    let serving = http.max_buf_size(READ).serve_connection(TokioIo::new(line), service);
    serving.await.map_err(|e| tsd_import::chain(&e))
}
