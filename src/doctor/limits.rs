//! What is said of uploads in parts and of puts that may only create. Pure.
use super::facts::{Answered, Facts, Right};
use super::judge::{Judge, Mark};
use crate::conf::Role;

impl Judge {
    pub(super) fn parts(&mut self, facts: &Facts) {
        let configured = &facts.configured;
        match facts.most_parts {
            Some(most) if (most as usize) < configured.max_parts => self.mend(
                "store.max_parts",
                format!(
                    "{} is configured, the highest number taken is {most}; take the line below",
                    configured.max_parts
                ),
            ),
            Some(most) => {
                let rest = match configured.max_parts {
                    limit if limit < most as usize => format!("; store.max_parts is {limit} and stays so"),
                    _ => String::new(),
                };
                self.say(Mark::Ok, "parts of an upload", format!("numbers up to {most} are taken{rest}"));
            }
            None if facts.may(Right::Multipart) && configured.role == Role::Nsc => {
                let why = facts.unclear_number.as_deref().unwrap_or("nobody asked");
                let text = format!("how many may be is not known: {why}; store.max_parts stays as it is");
                self.say(Mark::Unknown, "parts of an upload", text);
            }
            None => {}
        }
        match (facts.largest_part, &facts.too_large) {
            (Some(largest), None) => {
                let text = format!("{} as configured is taken", bytesize::ByteSize(largest));
                self.say(Mark::Ok, "store.part_size", text);
            }
            (Some(largest), Some(said)) => self.mend(
                "store.part_size",
                format!(
                    "{} is refused ({said}), {} is taken; take the line below",
                    bytesize::ByteSize(configured.part_size),
                    bytesize::ByteSize(largest)
                ),
            ),
            (None, Some(said)) => {
                self.mend("store.part_size", format!("not even parts of 5 MiB are taken: {said}"))
            }
            (None, None) => {
                if let Some(why) = &facts.unclear_part {
                    let text = format!("the largest part is not known: {why}; it stays as it is");
                    self.say(Mark::Unknown, "store.part_size", text);
                }
            }
        }
        self.largest_file(facts);
        self.plain(
            "small parts",
            &facts.small_parts,
            "taken in the middle of an upload",
            "not below its least size, as with S3",
        );
        let no = "refused: not needed, what was sent is remembered on this side";
        self.plain("list of an upload's parts", &facts.list_parts, "understood; not needed", no);
        match &facts.completed {
            Answered::No(said) => {
                let text = format!("files larger than store.part_size cannot be sent here: {said}");
                self.mend("completion of an upload", text);
            }
            Answered::Unknown(why) => {
                let text =
                    format!("whether files larger than store.part_size can be sent here is not known: {why}");
                self.say(Mark::Unknown, "completion of an upload", text);
            }
            other => self.plain("completion of an upload", other, "taken", ""),
        }
        let yes = "taken again: an answer that was lost costs nothing";
        let no =
            "refused: after a lost answer it is not known whether the object is there, so it is sent again";
        self.plain("completion repeated", &facts.completed_again, yes, no);
    }

    /// What follows from the limits of parts for a file.
    fn largest_file(&mut self, facts: &Facts) {
        let sends = facts.configured.role == Role::Nsc && facts.may(Right::Multipart);
        if !sends || matches!(facts.completed, Answered::No(_)) {
            return;
        }
        let size = facts.largest_part.unwrap_or(facts.configured.part_size);
        let parts = facts.part_limit().unwrap_or(facts.configured.max_parts);
        let text = format!(
            "files up to {}: {parts} parts of {}",
            bytesize::ByteSize(size.saturating_mul(parts as u64)),
            bytesize::ByteSize(size)
        );
        match (facts.largest_part, facts.part_limit()) {
            (Some(_), Some(_)) if facts.completed.is_yes() => self.say(
                Mark::Ok,
                "largest file",
                format!("{text}; beyond that parts grow to a size that was not tried"),
            ),
            _ => self.say(
                Mark::Unknown,
                "largest file",
                format!("{text}, as configured; not all of it was examined"),
            ),
        }
    }

    pub(super) fn only_new(&mut self, facts: &Facts) {
        let what = "put only if new";
        let no = "not held: two senders could replace each other's objects; each package has a place of its own, so keep to one sender";
        match (&facts.only_new, facts.winners) {
            (Answered::Yes, Some(1)) => match &facts.only_new_completed {
                Answered::Yes => {
                    self.say(Mark::Ok, what, "held, also by eight writers at once, and for what was completed of parts");
                }
                Answered::No(said) => self.say(
                    Mark::No,
                    what,
                    format!(
                        "held for objects that were put, also by eight writers at once, but not for one that was completed of parts \
                         ({said}): after a lost answer to a completion it proves nothing"
                    ),
                ),
                other => {
                    let why = match other {
                        Answered::Unknown(why) => why,
                        _ => "there was none",
                    };
                    let text = format!(
                        "held for objects that were put, also by eight writers at once; for one that was completed of parts it is not \
                         known: {why}"
                    );
                    self.say(Mark::Unknown, what, text);
                }
            },
            (Answered::Yes, Some(winners)) => {
                self.say(
                    Mark::No,
                    what,
                    format!("held one after the other, but of eight writers at once {winners} won: {no}"),
                );
            }
            (Answered::Yes, None) => {
                self.say(Mark::Unknown, what, "held one after the other; the race broke off")
            }
            (other, _) => self.plain(what, other, "", no),
        }
        if facts.configured.conditional && facts.only_new != Answered::NotAsked && !facts.conditional() {
            let unknown = |answer: &Answered| !matches!(answer, Answered::Yes | Answered::No(_));
            let open = unknown(&facts.only_new)
                || facts.only_new.is_yes()
                    && facts.winners.is_none_or(|n| n == 1)
                    && !matches!(facts.only_new_completed, Answered::No(_));
            let seen = if open {
                "it could not be seen that this store holds it"
            } else {
                "this store does not hold it"
            };
            self.mend("store.conditional", format!("true is configured, and {seen}; take the line below"));
        }
    }
}
