//! Mail, by SMTP or through the host's sendmail.
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Wrapped, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::super::letter::Letter;
use super::{Files, command};
use crate::chain;
use crate::conf::{Address, Server, Through, Tls};

/// Sends it to all of them in one mail.
pub(super) async fn send(
    through: &Through,
    from: &Address,
    to: &[Address],
    letter: &Letter,
    deadline: Duration,
    files: &Files,
) -> Result<(), String> {
    let mail = written(from, to, letter)?;
    match through {
        Through::Smtp { server, tls, ca_file, login } => {
            let parameters = match tls {
                Tls::None => None,
                Tls::Whole | Tls::StartTls => {
                    let mut parameters = TlsParameters::builder(server.host.clone());
                    if let Some(path) = ca_file {
                        let pem = files.bytes(path).await?;
                        let certificate = Certificate::from_pem(&pem);
                        let certificate =
                            certificate.map_err(|e| format!("{}: {}", path.display(), chain(&e)))?;
                        parameters = parameters.add_root_certificate(certificate);
                    }
                    Some(
                        parameters
                            .build()
                            .map_err(|e| format!("could not prepare for TLS: {}", chain(&e)))?,
                    )
                }
            };
            let login = match login {
                None => None,
                Some((user, file)) => {
                    let password = files.secret(file).await?;
                    Some(Credentials::new(user.clone(), password.expose().to_owned()))
                }
            };
            deliver(server, *tls, parameters, login, deadline, mail).await
        }
        Through::Sendmail(program) => {
            let mut args: Vec<String> = vec!["-i".into(), "-f".into(), from.0.clone(), "--".into()];
            args.extend(to.iter().map(|address| address.0.clone()));
            command::run(program, &args, mail.formatted()).await
        }
    }
}

async fn deliver(
    server: &Server,
    tls: Tls,
    parameters: Option<TlsParameters>,
    login: Option<Credentials>,
    deadline: Duration,
    mail: Message,
) -> Result<(), String> {
    let wrapped = match (tls, parameters) {
        (Tls::Whole, Some(parameters)) => Wrapped::Wrapper(parameters),
        (Tls::StartTls, Some(parameters)) => Wrapped::Required(parameters),
        _ => Wrapped::None,
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.clone())
        .port(server.port)
        .hello_name(ClientId::default())
        .timeout(Some(deadline))
        .tls(wrapped);
    if let Some(login) = login {
        transport = transport.credentials(login);
    }
    let sent = transport.build().send(mail).await;
    sent.map(drop).map_err(|e| format!("{}:{}: {}", server.host, server.port, chain(&e)))
}

/// What tells machines that nobody wrote this: no answers from those on holiday.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

fn written(from: &Address, to: &[Address], letter: &Letter) -> Result<Message, String> {
    let mailbox = |address: &Address| {
        let parsed = address.0.parse::<Mailbox>();
        parsed.map_err(|e| format!("{} is no mail address: {e}", address.0))
    };
    let sender = mailbox(from)?;
    let id = format!("<{}@{}>", uuid::Uuid::new_v4(), sender.email.domain());
    let mut mail = Message::builder()
        .from(sender)
        .subject(letter.subject.clone())
        .date(SystemTime::from(letter.at))
        .message_id(Some(id))
        .header(AutoSubmitted);
    for address in to {
        mail = mail.to(mailbox(address)?);
    }
    let body = SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(letter.text());
    mail.singlepart(body).map_err(|e| format!("could not write the mail: {}", chain(&e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::letter::Speaker;
    use crate::tell::memory::{Kind, News};
    use crate::tell::trouble::Level;

    #[test]
    fn a_mail_has_one_line_a_header_whatever_stands_in_the_news() {
        let at = "2026-11-24T04:00:00Z".parse().unwrap();
        let what = "a\r\nBcc: x@y.z\r\n\r\nbø".to_owned();
        let news =
            [News { at, kind: Kind::Opened, level: Level::Alarm, what, about: None, since: at, times: 1 }];
        let speaker = Speaker { role: "nsc".into(), host: "h".into() };
        let letter = Letter::compose(&speaker, news.iter(), 0, None, at);
        let (from, to) = (Address("from@a.no".into()), [Address("b@a.no".into()), Address("c@a.no".into())]);
        let mail = String::from_utf8(written(&from, &to, &letter).unwrap().formatted()).unwrap();
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        for line in [
            "From: from@a.no",
            "To: b@a.no, c@a.no",
            "Auto-Submitted: auto-generated",
            "Date: Tue, 24 Nov 2026",
        ] {
            assert!(head.contains(line), "{head}");
        }
        assert!(mail.is_ascii(), "{mail}");
    }
}
