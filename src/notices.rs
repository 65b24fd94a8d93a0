//! Things that wait or were refused without being anybody's package yet, with the reason; shown by `status`.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Who or what → why. Clones share.
#[derive(Clone, Default)]
pub struct Notices(Arc<Mutex<BTreeMap<String, String>>>);

impl Notices {
    /// As of the last look.
    pub fn now(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the result of a new look, and logs what is new in it: each reason is said once, not at every look.
    pub fn replace(&self, new: BTreeMap<String, String>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, why) in new.iter().filter(|(who, why)| held.get(*who) != Some(*why)) {
            tracing::warn!(who, why, "not taken");
        }
        *held = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_look_replaces_the_old_one() {
        let notices = Notices::default();
        notices.replace([("a".to_owned(), "x".to_owned())].into());
        notices.clone().replace([("b".to_owned(), "y".to_owned())].into());
        assert_eq!(notices.now().into_keys().collect::<Vec<_>>(), ["b"]);
    }
}
