//! The way of a package as one table of legal moves.
//!
//! ```text
//! nsc   Found → Claimed → Packed → Uploading → Committed → Transferred
//! tsd   Seen  → Copying → Copied → Verified → Ready
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
    /// Stopped by a person.
    Held,
    /// Stopped by the program, with a coded reason.
    Quarantined,
}

impl State {
    /// All states, in the order of the way.
    pub const ALL: [Self; 13] = [
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
            Self::Held => "held",
            Self::Quarantined => "quarantined",
        }
    }

    /// The states that a package may move to from `from`; `None` is a package the journal does not know yet.
    pub fn moves(from: Option<Self>) -> &'static [Self] {
        use State::*;
        match from {
            // Packed: dropped into the transfer tree by somebody else. Quarantined: refused at the border.
            None => &[Found, Packed, Seen, Quarantined],
            Some(Found) => &[Claimed, Held, Quarantined],
            // Back to Found: a person aborted the LIMS step while nothing had left.
            Some(Claimed) => &[Packed, Found, Held, Quarantined],
            // Transferred: the uploader runs on another host; its work was seen in the transfer tree.
            Some(Packed) => &[Uploading, Transferred, Held, Quarantined],
            Some(Uploading) => &[Committed, Held, Quarantined],
            Some(Committed) => &[Transferred, Quarantined],
            Some(Seen) => &[Copying, Held, Quarantined],
            Some(Copying) => &[Copied, Held, Quarantined],
            Some(Copied) => &[Verified, Held, Quarantined],
            Some(Verified) => &[Ready, Quarantined],
            // Released by a person: the work begins again at the first step that can be repeated.
            Some(Held | Quarantined) => &[Found, Packed, Seen],
            Some(Transferred | Ready) => &[],
        }
    }

    /// Whether the table allows the move.
    pub fn may_move(from: Option<Self>, to: Self) -> bool {
        Self::moves(from).contains(&to)
    }

    /// Nothing more happens without a person.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Transferred | Self::Ready | Self::Held | Self::Quarantined)
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
        let into_ready: Vec<_> =
            State::ALL.into_iter().filter(|s| State::may_move(Some(*s), State::Ready)).collect();
        assert_eq!(into_ready, [State::Verified]);
        let into_verified: Vec<_> =
            State::ALL.into_iter().filter(|s| State::may_move(Some(*s), State::Verified)).collect();
        assert_eq!(into_verified, [State::Copied]);
        let into_committed: Vec<_> =
            State::ALL.into_iter().filter(|s| State::may_move(Some(*s), State::Committed)).collect();
        assert_eq!(into_committed, [State::Uploading]);
    }

    #[test]
    fn the_word_is_what_serde_writes() {
        for state in State::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("{:?}", state.as_str()));
        }
    }
}
