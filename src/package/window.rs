//! Credit: how many packages may be under way between a role's source and its sink.
//!
//! A source takes a new package only while fewer than the limit are under way, so a sink that stands still stops the source
//! at exactly that number, and everything behind it stays where it is kept anyway: in the LIMS queue, in the transfer tree,
//! in the bucket. The credit in use is counted from the journal and not carried along: nothing can lose it or return it
//! twice, whatever falls, and a package gives it back by coming to its end.
use super::Priority;

/// How many packages may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Of any priority.
    pub limit: usize,
    /// So many more if they are urgent: a full window of normal ones must not keep an urgent one out.
    pub urgent: usize,
}

impl Window {
    /// How many may be under way for one of this priority to be among them.
    pub fn credit(&self, priority: Priority) -> usize {
        self.limit.saturating_add(if priority == Priority::Urgent { self.urgent } else { 0 })
    }

    /// Whether `more` packages of this priority may join those under way. A group larger than the whole window is let in
    /// when nothing else is under way, because it would never be otherwise.
    pub fn admits(&self, under_way: usize, more: usize, priority: Priority) -> bool {
        under_way == 0 || under_way.saturating_add(more) <= self.credit(priority)
    }

    /// Which of the groups (priority, number of packages, the group) that wait at a source may come in, the most urgent first,
    /// otherwise families before singles, otherwise in the order given; and how many groups stay outside. Nobody less or
    /// equally urgent passes a group that found no room, or large families would starve behind singles.
    pub fn let_in<T>(&self, mut under_way: usize, mut groups: Vec<(Priority, usize, T)>) -> (Vec<T>, usize) {
        groups.sort_by_key(|(priority, size, _)| std::cmp::Reverse((*priority, *size)));
        let (mut inside, mut outside, mut full) = (Vec::new(), 0, false);
        for (priority, size, group) in groups {
            if !full && self.admits(under_way, size, priority) {
                under_way += size;
                inside.push(group);
            } else {
                full = true;
                outside += 1;
            }
        }
        (inside, outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_full_except_for_the_urgent() {
        let window = Window { limit: 3, urgent: 1 };
        assert!(window.admits(2, 1, Priority::Normal) && !window.admits(3, 1, Priority::High));
        assert!(window.admits(3, 1, Priority::Urgent) && !window.admits(4, 1, Priority::Urgent));
        assert!(!window.admits(2, 2, Priority::Normal), "an order comes whole or not at all");
        assert!(window.admits(0, 9, Priority::Normal), "a large family is not kept out for ever");
    }

    #[test]
    fn the_urgent_come_in_first_and_a_family_is_not_passed_by_singles() {
        use Priority::{High, Normal, Urgent};
        let window = Window { limit: 4, urgent: 1 };
        let groups =
            vec![(Normal, 1, "n1"), (Normal, 3, "trio"), (Normal, 1, "n2"), (Urgent, 1, "u"), (High, 1, "h")];
        assert_eq!(
            window.let_in(0, groups.clone()),
            (vec!["u", "h"], 3),
            "the trio waits, and nobody passes it"
        );
        assert_eq!(window.let_in(1, groups[..3].to_vec()), (vec!["trio"], 2));
        assert_eq!(window.let_in(4, groups), (vec!["u"], 4));
    }
}
