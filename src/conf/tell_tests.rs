use super::*;
use crate::conf::{Conf, Settings};

fn read(more: &str) -> Result<TellConf, String> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/tsd.toml");
    let text = format!("{}\n{more}", std::fs::read_to_string(shipped).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tsd.toml");
    crate::fs::write_durably(&file, text.as_bytes()).unwrap();
    let settings = Settings::read(Some(&file), []).map_err(|e| e.to_string())?;
    Conf::check(&settings, None).map(|conf| conf.tell).map_err(|e| e.to_string())
}

#[test]
fn nothing_is_told_unless_asked_for_and_three_kinds_can_be() {
    let none = read("").unwrap();
    assert!(none.channels.is_empty() && none.names == Names::Pseudonym);
    assert_eq!(none.escalate, [Duration::from_secs(1800), Duration::from_secs(4 * 3600)]);
    let tell = read(
        r#"
        [tell.channel.duty]
        kind = "mail"
        to = ["duty@example.org", "b@example.org"]
        from = "tsd-import@example.org"
        server = "smtp.example.org:587"
        user = "u"
        password_file = "/x/p"
        escalate = true
        digest = "07:00"
        quiet = "22:00-06:00"
        [tell.channel.chat]
        kind = "webhook"
        url_file = "/x/url"
        format = "slack"
        from_level = "notice"
        [tell.channel.pager]
        kind = "command"
        program = "/x/page"
        args = ["--now"]
        from_level = "none"
        escalate = true
        per_hour = 3
        "#,
    )
    .unwrap();
    let names: Vec<&str> = tell.channels.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["chat", "duty", "pager"]);
    let duty = &tell.channels[1];
    let Via::Mail { through: Through::Smtp { server, tls, .. }, to, .. } = &duty.via else {
        panic!("{duty:?}")
    };
    assert_eq!(
        (server.host.as_str(), server.port, *tls, to.len()),
        ("smtp.example.org", 587, Tls::StartTls, 2)
    );
    assert_eq!((duty.digest, duty.quiet), (Some(OfDay(420)), Some(Span { from: 1320, until: 360 })));
    assert_eq!(tell.channels[2].per_hour, 3);
}

#[test]
fn what_makes_no_sense_is_refused_with_the_cure() {
    let cases = [
        ("kind = \"pigeon\"", "is neither mail, webhook nor command"),
        ("kind = \"mail\"\nfrom = \"a@b.no\"\nserver = \"h:25\"", "must name at least one mail address"),
        ("kind = \"mail\"\nfrom = \"a@b.no\"\nto = [\"b\"]\nserver = \"h:25\"", "expected a mail address"),
        ("kind = \"mail\"\nfrom = \"a@b.no\"\nto = [\"-x@b.no\"]\nserver = \"h:25\"", "taken for an option"),
        ("kind = \"mail\"\nfrom = \"a@b.no\"\nto = [\"b@b.no\"]\nserver = \"h\"", "the port is missing"),
        (
            "kind = \"mail\"\nfrom = \"a@b.no\"\nto = [\"b@b.no\"]\nserver = \"h:25\"\nuser = \"u\"\npassword_file = \"/p\"\nsecurity = \"none\"",
            "the password in the clear",
        ),
        ("kind = \"webhook\"\nurl = \"http://x\"\nurl_file = \"/u\"", "url: unknown key"),
        ("kind = \"webhook\"", "url_file: must be set"),
        ("kind = \"command\"\nprogram = \"page\"", "a relative path"),
        ("kind = \"command\"\nprogram = \"/x\"\nfrom_level = \"none\"", "would never be told anything"),
        ("kind = \"command\"\nprogram = \"/x\"\ndigest = \"25:00\"", "not a time of day"),
        ("kind = \"command\"\nprogram = \"/x\"\nquiet = \"06:00-06:00\"", "it is empty"),
        ("kind = \"command\"\nprogram = \"/x\"\nper_hour = 0", "between 1 and 1000"),
    ];
    for (lines, wanted) in cases {
        let said = read(&format!("[tell.channel.x]\n{lines}\n")).unwrap_err();
        assert!(said.contains(wanted), "{lines}: {said}");
    }
}

#[test]
fn plain_names_leave_only_where_the_site_says_so() {
    let hook = "[tell.channel.x]\nkind = \"webhook\"\nurl_file = \"/u\"\n";
    let run = "[tell.channel.x]\nkind = \"command\"\nprogram = \"/u\"\n";
    let plain = "[tell]\nnames = \"plain\"\n";
    assert!(read(&format!("{plain}{hook}")).unwrap_err().contains("tell.names_may_leave = true"));
    assert!(read(&format!("{plain}{run}")).is_ok());
    assert!(read(&format!("{plain}names_may_leave = true\n{hook}")).is_ok());
}
