//! Mail through TLS: from the first byte or begun in the conversation, with a login, trusted through the CA file alone; and a server
//! that does not offer it gets neither mail nor password.
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;

use super::far::{Far, Stage, converse, mail_server, secret};
use crate::world::{World, text};

/// Takes mail through TLS; its certificate as PEM.
async fn secured(begun: bool) -> (Far, String) {
    let house = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(house.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![house.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = Far::new(listener.local_addr().unwrap().port());
    let serving = far.clone();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = if begun { greeted(stream).await } else { Some(stream) };
            let Some(stream) = stream else { continue };
            // A client that does not trust us goes away.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let stage = if begun { Stage::Begun } else { Stage::Wrapped };
            if let Err(fault) = converse(stream, &serving, stage).await {
                serving.faults.lock().unwrap().push(fault);
            }
        }
    }));
    (far, house.cert.pem())
}

/// The plain beginning, up to `STARTTLS`.
async fn greeted(stream: TcpStream) -> Option<TcpStream> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    for (answer, wanted) in
        [("220 strict.example.org", "EHLO "), ("250-strict.example.org\r\n250 STARTTLS", "STARTTLS")]
    {
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        line.clear();
        let _n = stream.read_line(&mut line).await.ok()?;
        if !line.starts_with(wanted) {
            return None;
        }
    }
    stream.write_all(b"220 go on\r\n").await.ok()?;
    Some(stream.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_goes_through_tls_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (wrapped, wrapped_pem) = secured(false).await;
    let (begun, begun_pem) = secured(true).await;
    let plain = mail_server().await;
    let password = secret(dir.path(), "password", "mail-password-secret\n");
    let channel = |name: &str, far: &Far, security: &str, pem: Option<&str>| {
        let ca = pem.map(|pem| secret(dir.path(), &format!("{name}.pem"), pem));
        let ca = ca.map(|path| format!(", ca_file = \"{}\"", path.display())).unwrap_or_default();
        format!(
            "tell.channel.{name} = {{ kind = \"mail\", to = [\"d@example.org\"], from = \"t@example.org\", server = \"localhost:{}\", \
             security = \"{security}\", user = \"u\", password_file = \"{}\", deadline = \"5 s\"{ca} }}\n",
            far.port,
            password.display()
        )
    };
    let more = [
        channel("wrapped", &wrapped, "tls", Some(&wrapped_pem)),
        channel("begun", &begun, "starttls", Some(&begun_pem)),
        channel("stranger", &wrapped, "tls", Some(&begun_pem)),
        channel("system", &begun, "starttls", None),
        channel("bare", &plain, "starttls", None),
    ]
    .concat();
    let more_of = vec![(Role::Nsc, more)];
    let world =
        World::with(SiteOptions { token_life: Duration::from_secs(600), more_of, ..SiteOptions::default() })
            .await;
    let said = world.command(Role::Nsc, &["tell", "--test"]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said.stderr));
    let said = text(&said.stdout) + &text(&said.stderr);
    for (name, taken) in
        [("wrapped", true), ("begun", true), ("stranger", false), ("system", false), ("bare", false)]
    {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line.ends_with(": taken"), taken, "{said}");
    }
    assert!(!said.contains("mail-password-secret"), "{said}");
    assert_eq!((wrapped.came().len(), begun.came().len(), plain.came().len()), (1, 1, 0));
    assert!(wrapped.came()[0].contains("nothing is out of order"), "{:?}", wrapped.came());
    assert_eq!((wrapped.faults(), begun.faults()), (vec![], vec![]));
}
