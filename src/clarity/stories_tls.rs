//! TLS with a certificate of the house: trusted through the CA file, for its own name, and not otherwise.
use super::fake::settings;
use super::*;
use std::io::Write as _;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const VERSIONS: &str = "<ver:versions xmlns:ver=\"http://genologics.com/ri/version\"><version major=\"v2\" minor=\"r34\" \
                        uri=\"https://localhost/api/v2\"/></ver:versions>";

/// A LIMS behind TLS that knows its version; its port, and its certificate as PEM.
async fn server() -> (u16, String) {
    let house = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(house.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![house.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(tokio::spawn(async move {
        while let Ok((line, _)) = listener.accept().await {
            let Ok(mut line) = acceptor.accept(line).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = line.read_u8().await else { break };
                request.push(byte);
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", VERSIONS.len());
            let answered = line.write_all(format!("{head}{VERSIONS}").as_bytes()).await;
            // A client that went away is its own test's affair.
            drop((answered, line.shutdown().await));
        }
    }));
    (port, house.cert.pem())
}

#[tokio::test]
async fn a_certificate_of_the_house_is_trusted_through_the_ca_file_and_for_its_name_alone() {
    let (port, pem) = server().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    let ask = async |host: &str, ca_file: Option<std::path::PathBuf>| {
        let settings = Settings { ca_file, ..settings(&format!("https://{host}:{port}/api/v2")) };
        Client::new(settings).unwrap().version().await
    };
    let trusted = Some(file.path().to_owned());
    assert_eq!(ask("localhost", trusted.clone()).await.unwrap(), "r34");
    for (host, ca_file) in [("localhost", None), ("127.0.0.1", trusted)] {
        let refused = ask(host, ca_file).await.unwrap_err();
        assert_eq!(refused.class(), Class::Config, "{refused}");
        let text = refused.to_string();
        assert!(
            text.starts_with("the certificate of the LIMS is not trusted; check the host name"),
            "{text}"
        );
    }
}
