use super::super::names::Known;
use super::super::pseudonym::Key;
use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

fn news(kind: Kind, what: &str, about: Option<&str>) -> News {
    let about = about.map(str::to_owned);
    News { at: at(9), kind, level: Level::Alarm, what: what.into(), about, since: at(0), times: 1 }
}

fn speaker() -> Speaker {
    Speaker { role: "nsc".into(), host: "gdx-login".into() }
}

#[test]
fn fifty_stopped_packages_are_one_line_with_a_count_and_no_name() {
    let ids: Vec<String> = (0..50).map(|n| format!("samples/Diag-wgs1-HG{:08}/r1", 12_345_600 + n)).collect();
    let known: Known = ids.iter().map(|id| id.split('/').nth(1).unwrap()).collect();
    let scrubber = Scrubber::new(Key::new([1; 32]), &known).unwrap();
    let all: Vec<News> =
        ids.iter().map(|id| news(Kind::Opened, "stopped (digest-mismatch)", Some(id))).collect();
    let letter = Letter::compose(&speaker(), all.iter(), 0, Some(&scrubber), at(10));
    assert_eq!((letter.items.len(), letter.items[0].count, letter.items[0].about.len()), (1, 50, 20));
    assert_eq!(letter.subject, "[tsd-import nsc gdx-login] ALARM: 50 × stopped (digest-mismatch)");
    let text = letter.text();
    assert!(text.contains(" and 30 more") && text.contains("samples/P-") && !text.contains("HG1"), "{text}");
    assert_eq!(letter.level, Level::Alarm);
}

#[test]
fn the_worst_comes_first_and_losses_are_said() {
    let all =
        [news(Kind::Cleared, "b", None), news(Kind::Opened, "a", None), news(Kind::Escalated, "c", None)];
    let letter = Letter::compose(&speaker(), all.iter(), 7, None, at(10));
    assert_eq!(letter.subject, "[tsd-import nsc gdx-login] STILL OPEN: c (and 2 more)");
    let text = letter.text();
    assert!(text.contains("! 7 earlier piece(s) of news could not be sent in time"), "{text}");
    let order: Vec<Option<usize>> =
        ["STILL OPEN: c", "ALARM: a", "over: b"].iter().map(|w| text.find(w)).collect();
    assert!(order.is_sorted() && order[0].is_some(), "{text}");
    let clear = Letter::compose(&speaker(), all.get(..1).unwrap().iter(), 0, None, at(10));
    assert_eq!(
        (clear.subject.as_str(), clear.level),
        ("[tsd-import nsc gdx-login] all clear: b", Level::Notice)
    );
}

#[test]
fn a_message_is_bounded() {
    let all: Vec<News> =
        (0..500).map(|n| news(Kind::Opened, &format!("thing {n} {}", "x".repeat(500)), None)).collect();
    let letter = Letter::compose(&speaker(), all.iter(), 0, None, at(10));
    assert_eq!((letter.items.len(), letter.more), (40, 460));
    assert!(letter.text().len() < 64 << 10 && letter.subject.chars().count() < 200);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(150))]

    /// Whatever is told of, as people and as machines get it.
    #[test]
    fn no_known_name_is_in_any_message(
        names in proptest::collection::vec("[A-OQ-Z][A-OQ-Za-z0-9._-]{5,14}", 1..6),
        words in proptest::collection::vec("[a-zæøåÆØÅ /:.]{0,12}", 4),
        kinds in proptest::collection::vec(0usize..5, 1..8),
    ) {
        let known: Known = names.iter().collect();
        let scrubber = Scrubber::new(Key::new([9; 32]), &known).unwrap();
        let all: Vec<News> = kinds.iter().enumerate().map(|(n, kind)| {
            let kind = [Kind::Opened, Kind::Cleared, Kind::Escalated, Kind::Happened, Kind::Digest][*kind];
            let name = &names[n % names.len()];
            let what = format!("{}{name}{}{}{}", words[0], words[1], name.to_lowercase(), words[2]);
            news(kind, &what, Some(&format!("samples/{name}/r1")))
        }).collect();
        let letter = Letter::compose(&speaker(), all.iter(), 0, Some(&scrubber), at(10));
        let json = serde_json::to_string(&letter).unwrap();
        for text in [letter.text(), json, letter.subject] {
            let text = text.to_lowercase();
            for name in &names {
                proptest::prop_assert!(!text.contains(&name.to_lowercase()), "{} in {}", name, text);
            }
        }
    }
}
