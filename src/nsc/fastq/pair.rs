//! Whether R1 and R2 are the two ends of the same fragments.
use super::Found;

/// Why these two are no pair, in words that go behind `R1 … and R2 …`.
pub fn belong(r1: &Found, r2: &Found) -> Result<(), String> {
    for (file, end, found) in [("R1", 1, r1), ("R2", 2, r2)] {
        if let Some(says) = found.end.filter(|says| *says != end) {
            return Err(format!("the reads in the {file} file say that they are end {says}"));
        }
    }
    if r1.first != r2.first {
        return Err(format!("R1 begins with read {}, R2 with read {}", r1.first, r2.first));
    }
    if r1.reads != r2.reads {
        return Err(format!("R1 holds {} reads, R2 {}", r1.reads, r2.reads));
    }
    if r1.last != r2.last {
        return Err(format!("R1 ends with read {}, R2 with read {}", r1.last, r2.last));
    }
    if r1.names != r2.names {
        return Err("first and last read are the same, but in between names or their order differ".into());
    }
    // Reads that say which end they are were compared above; equal bases are then a sample that failed as a whole.
    if (r1.end.is_none() || r2.end.is_none()) && r1.beginning == r2.beginning {
        return Err("both hold the same bases: one end twice".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Sha256Hex;

    fn found(end: Option<u8>) -> Found {
        Found {
            reads: 3,
            bases: 9,
            first: "a".into(),
            last: "c".into(),
            names: Sha256Hex::of(b"a b c"),
            end,
            beginning: Sha256Hex::of(&[end.unwrap_or(0)]),
        }
    }

    #[test]
    fn two_ends_of_the_same_fragments_belong_together_and_nothing_else_does() {
        let (one, two) = (found(Some(1)), found(Some(2)));
        belong(&one, &two).unwrap();
        belong(&one, &Found { beginning: one.beginning.clone(), ..two.clone() }).unwrap();
        let other = Found { beginning: Sha256Hex::of(b"x"), ..found(None) };
        belong(&found(None), &other).unwrap();
        for (r1, r2, why) in [
            (&two, &two, "in the R1 file say that they are end 2"),
            (&one, &one, "in the R2 file say that they are end 1"),
            (&found(None), &found(None), "one end twice"),
            (&one, &Found { first: "x".into(), ..two.clone() }, "R1 begins with read a, R2 with read x"),
            (&one, &Found { last: "x".into(), ..two.clone() }, "R1 ends with read c, R2 with read x"),
            (&one, &Found { reads: 4, ..two.clone() }, "R1 holds 3 reads, R2 4"),
            (&one, &Found { names: Sha256Hex::of(b"a x c"), ..two.clone() }, "in between"),
        ] {
            let said = belong(r1, r2).unwrap_err();
            assert!(said.contains(why), "{said} should say {why}");
        }
    }
}
