//! The way of a package as one table of legal moves.
//!
//! ```text
//! nsc   Found → Claimed → Packed → Uploading → Committed → Transferred
//! tsd   Seen  → Copying → Copied → Verified → Ready
//! tsd   a commit whose bytes were handed over already: Duplicate
//! any   → Held (a person) / Quarantined (the program) → back to where its work begins
//! ```
//! The journal moves a package only along this table and only from the state the mover believed it in, so a late or
//! doubled message changes nothing.
use serde::{Deserialize, Serialize};

/// Where a package is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// nsc: read from the LIMS and found complete.
    Found,
    /// nsc: its LIMS step is open in our name.
    Claimed,
    /// nsc: whole in the transfer tree.
    Packed,
    /// nsc: bytes are on their way.
    Uploading,
    /// nsc: every part was acknowledged with the digest we computed, and `COMMIT` was put.
    Committed,
    /// nsc: moved below `transferred/`; the end on this side.
    Transferred,
    /// tsd: a valid `COMMIT` was read.
    Seen,
    /// tsd: bytes are being copied into the incoming area.
    Copying,
    /// tsd: all files are in the incoming area and fsynced.
    Copied,
    /// tsd: the bytes were read back from the production disk and are right.
    Verified,
    /// tsd: in place and, where its kind wants it, marked `READY`; the end.
    Ready,
    /// tsd: the same bytes were handed over under another revision; the end, nothing was copied.
    Duplicate,
    /// tsd: another host that shares the bucket has it in hand.
    Elsewhere,
    /// tsd: another host has put it in place, or has stopped it; the end here.
    SettledElsewhere,
    /// Stopped by a person.
    Held,
    /// Stopped by the program, with a coded reason.
    Quarantined,
}

impl State {
    /// All states, in the order of the way.
    pub const ALL: [Self; 16] = [
        Self::Found,
        Self::Claimed,
        Self::Packed,
        Self::Uploading,
        Self::Committed,
        Self::Transferred,
        Self::Seen,
        Self::Copying,
        Self::Copied,
        Self::Verified,
        Self::Ready,
        Self::Duplicate,
        Self::Elsewhere,
        Self::SettledElsewhere,
        Self::Held,
        Self::Quarantined,
    ];

    /// The word used in the journal and shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Claimed => "claimed",
            Self::Packed => "packed",
            Self::Uploading => "uploading",
            Self::Committed => "committed",
            Self::Transferred => "transferred",
            Self::Seen => "seen",
            Self::Copying => "copying",
            Self::Copied => "copied",
            Self::Verified => "verified",
            Self::Ready => "ready",
            Self::Duplicate => "duplicate",
            Self::Elsewhere => "elsewhere",
            Self::SettledElsewhere => "settled-elsewhere",
            Self::Held => "held",
            Self::Quarantined => "quarantined",
        }
    }

    /// The states that a package may move to from `from`; `None` is a package the journal does not know yet.
    pub fn moves(from: Option<Self>) -> &'static [Self] {
        use State::*;
        match from {
            // Packed: dropped into the transfer tree by somebody else. Quarantined: refused at the border. Verified: found in place
            // when a lost journal was rebuilt, and every byte read back.
            None => &[Found, Packed, Seen, Duplicate, Elsewhere, SettledElsewhere, Verified, Quarantined],
            Some(Found) => &[Claimed, Held, Quarantined],
            // Back to Found: a person aborted the LIMS step while nothing had left.
            Some(Claimed) => &[Packed, Found, Held, Quarantined],
            // Transferred: the uploader runs on another host; its work was seen in the transfer tree.
            Some(Packed) => &[Uploading, Transferred, Held, Quarantined],
            Some(Uploading) => &[Committed, Held, Quarantined],
            Some(Committed) => &[Transferred, Quarantined],
            // Elsewhere: we were silent for too long, and another host has taken it over.
            Some(Seen) => &[Copying, Elsewhere, Held, Quarantined],
            Some(Copying) => &[Copied, Elsewhere, Held, Quarantined],
            Some(Copied) => &[Verified, Elsewhere, Held, Quarantined],
            Some(Verified) => &[Ready, Elsewhere, Quarantined],
            // Its host is silent: it begins anew here. Copied: that host was about to put it in place; what became of that is looked for.
            Some(Elsewhere) => &[Seen, Copied, SettledElsewhere],
            // Released by a person: the work begins again at the first step that can be repeated. Quarantined: its sample was taken
            // back in the LIMS meanwhile.
            Some(Held) => &[Found, Packed, Seen, Quarantined],
            // Committed: it was, and could not be moved to its rest.
            Some(Quarantined) => &[Found, Packed, Seen, Committed],
            Some(Transferred | Ready | Duplicate | SettledElsewhere) => &[],
        }
    }

    /// Whether the table allows the move.
    pub fn may_move(from: Option<Self>, to: Self) -> bool {
        Self::moves(from).contains(&to)
    }

    /// Nothing more happens here without a person, or without another host falling silent.
    pub fn is_settled(self) -> bool {
        match self {
            Self::Transferred | Self::Ready | Self::Duplicate => true,
            Self::Elsewhere | Self::SettledElsewhere => true,
            Self::Held | Self::Quarantined => true,
            Self::Found | Self::Claimed | Self::Packed | Self::Uploading | Self::Committed => false,
            Self::Seen | Self::Copying | Self::Copied | Self::Verified => false,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_reachable_and_every_unsettled_one_leads_to_an_end() {
        let mut reached: Vec<State> = State::moves(None).to_vec();
        let mut i = 0;
        while let Some(&state) = reached.get(i) {
            i += 1;
            for &next in State::moves(Some(state)) {
                if !reached.contains(&next) {
                    reached.push(next);
                }
            }
        }
        reached.sort();
        assert_eq!(reached, State::ALL);
        for state in State::ALL.into_iter().filter(|s| !s.is_settled()) {
            assert!(State::may_move(Some(state), State::Quarantined), "{state} must be able to stop");
        }
    }

    #[test]
    fn nothing_leaves_the_end_and_nothing_skips_verification() {
        assert!(State::moves(Some(State::Ready)).is_empty());
        assert!(State::moves(Some(State::Transferred)).is_empty());
        assert!(State::moves(Some(State::Duplicate)).is_empty());
        assert!(State::moves(Some(State::SettledElsewhere)).is_empty());
        let into_ready: Vec<_> =
            State::ALL.into_iter().filter(|s| State::may_move(Some(*s), State::Ready)).collect();
        assert_eq!(into_ready, [State::Verified]);
        let into_verified: Vec<_> =
            State::ALL.into_iter().filter(|s| State::may_move(Some(*s), State::Verified)).collect();
        assert_eq!(into_verified, [State::Copied]);
        assert!(
            !State::may_move(Some(State::Elsewhere), State::Ready),
            "what a silent host did is looked at"
        );
        assert!(State::may_move(None, State::Verified), "found in place: read back, or not at all");
        assert!(!State::may_move(None, State::Ready) && !State::may_move(None, State::Copied));
        let into_committed: Vec<_> =
            State::ALL.into_iter().filter(|s| State::may_move(Some(*s), State::Committed)).collect();
        assert_eq!(
            into_committed,
            [State::Uploading, State::Quarantined],
            "the second only if it was (acts)"
        );
    }

    #[test]
    fn the_word_is_what_serde_writes() {
        for state in State::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("{:?}", state.as_str()));
        }
    }
}
