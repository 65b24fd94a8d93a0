use proptest::prelude::*;

use super::*;

fn scrubber(names: &[&str]) -> Scrubber {
    Scrubber::new(Key::new([7; 32]), &names.iter().collect()).unwrap()
}

#[test]
fn a_name_goes_wherever_it_stands_and_the_rest_stays() {
    let s = scrubber(&["Diag-wgs1-HG12345677", "2-1234"]);
    let key = Key::new([7; 32]);
    let (package, sample) = (key.pseudonym("Diag-wgs1-HG12345677"), key.pseudonym("HG12345677"));
    let cases = [
        ("samples/Diag-wgs1-HG12345677/r2: read", format!("samples/{package}/r2: read")),
        ("HG12345677 waits", format!("{sample} waits")),
        ("xxxhg12345677y", format!("xxx{sample}y")),
        ("DIAG-WGS1-HG12345677~r2", format!("{package}~r2")),
        ("artifact 2-1234.", format!("artifact {}.", key.pseudonym("2-1234"))),
        (
            "the store answers 503 after 104857600 bytes in 12 s",
            "the store answers 503 after 104857600 bytes in 12 s".into(),
        ),
        ("æøå HG12345677 æøå", format!("æøå {sample} æøå")),
    ];
    for (text, wanted) in cases {
        assert_eq!(s.text(text), wanted, "{text}");
    }
}

#[test]
fn what_overlaps_becomes_one_and_leaves_no_piece() {
    let s = scrubber(&["alpha-beta", "beta-gamma", "alpha"]);
    let said = s.text("see alpha-beta-gamma.");
    assert_eq!(said.matches("P-").count(), 1, "{said}");
    assert!(!said.contains("gamma") && said.starts_with("see P-") && said.ends_with('.'), "{said}");
}

#[test]
fn what_no_journal_knows_is_found_by_its_looks() {
    let s = scrubber(&[]);
    for text in [
        "HG98765432 is odd",
        "at 13000550100 it",
        "of /x/HG98765432-Nett-KIT-wgs_S11_R1_001.fastq.gz: cut off",
        "unknown-file_name.bam",
        "Åse.sample",
    ] {
        let said = s.text(text);
        assert!(said.contains("P-"), "{said}");
        for piece in ["98765432", "13000550100", "Nett", "unknown", "Åse"] {
            assert!(!said.contains(piece), "{said}");
        }
    }
    for plain in [
        "tsd-import.2026-11-24.jsonl at 2026-11-24T04:00:00.123Z",
        "sha256 ab12345678901234567890123456789012345678901234567890123456789012",
        "flowcell 22ABCDLT4 of LH00534",
        "holds 53687091200 bytes",
    ] {
        assert_eq!(s.text(plain), plain);
    }
}

#[test]
fn a_short_name_goes_where_it_is_a_word() {
    let s = scrubber(&["ab"]);
    assert!(s.text("able ab/x").starts_with("able P-"));
    assert_eq!(s.leak("able"), None);
    assert_eq!(s.leak("an ab!"), Some("ab".into()));
}

/// A text without what stands for names: chance letters of a pseudonym are nobody's name.
fn without_pseudonyms(text: &str) -> String {
    let mut rest = text.to_owned();
    while let Some(at) = rest.find("P-") {
        let end = (at + 11).min(rest.len());
        rest.replace_range(at..end, "ß"); // a letter, as what stands there is
    }
    rest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Names that are beginnings of others, in free text, glued to it, in other cases of letters.
    #[test]
    fn no_known_name_survives(
        stems in prop::collection::vec("[A-Za-z][A-Za-z0-9._+=@,-]{3,12}", 1..6),
        tails in prop::collection::vec("[-A-Za-z0-9]{0,5}", 6),
        around in prop::collection::vec("[a-zæøåÆØÅ /:.\\-\"{}%]{0,8}", 1..12),
        order in prop::collection::vec((0usize..12, 0usize..3), 0..12),
    ) {
        // `P-` would be taken for a pseudonym by this test.
        let plain = |text: String| text.replace('P', "Q");
        let mut names: Vec<String> = stems.iter().cloned().map(plain).collect();
        names.extend(stems.iter().zip(&tails).map(|(a, b)| plain(format!("{a}{b}"))));
        let known: Known = names.iter().collect();
        let s = Scrubber::new(Key::new([3; 32]), &known).unwrap();
        let mut text = String::new();
        for (n, piece) in around.iter().enumerate() {
            text.push_str(piece);
            if let Some((which, case)) = order.get(n) {
                let name = &names[which % names.len()];
                text.push_str(&match case { 0 => name.clone(), 1 => name.to_uppercase(), _ => name.to_lowercase() });
            }
        }
        let text = text.replace("P-", "Q-");
        let said = s.text(&text);
        let left = without_pseudonyms(&said).to_ascii_lowercase();
        for name in known.iter().filter(|name| name.len() >= SHORT) {
            prop_assert!(!left.contains(&name.to_ascii_lowercase()), "{name} in {said} of {text}");
        }
        prop_assert_eq!(s.leak(&without_pseudonyms(&said)), None);
        // What stands around names is left alone: all that is neither a name nor looks like one.
        prop_assert!(said.chars().filter(|c| "æøåÆØÅ".contains(*c)).count() <= text.chars().filter(|c| "æøåÆØÅ".contains(*c)).count());
    }
}
