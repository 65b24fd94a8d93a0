//! What follows from the facts for the configuration. Pure.
//!
//! What could not be examined makes no line, and nothing but what was seen to be refused switches the signature off.
use super::facts::{Answered, Checked, Facts, Right, Wire};
use crate::conf::Checksum;

/// From the cheapest to compute.
pub(super) const BY_COST: [Checksum; 6] = [
    Checksum::Crc64Nvme,
    Checksum::Crc32C,
    Checksum::Crc32,
    Checksum::Signed,
    Checksum::Sha256,
    Checksum::Md5,
];

impl Facts {
    pub(super) fn check(&self, kind: Checksum) -> Option<&Checked> {
        self.checks.get(kind.to_string().as_str())
    }

    /// The cheapest proof that is checked wherever it is sent, and that nobody on the way can forge.
    pub(super) fn proof(&self) -> Option<Checksum> {
        // Whoever can change bytes can correct a CRC; a digest that is signed cannot be corrected.
        let forgeable = |kind: &Checksum| {
            matches!(kind, Checksum::Crc64Nvme | Checksum::Crc32C | Checksum::Crc32 | Checksum::Md5)
        };
        let good = |kind: &Checksum| {
            (self.wire != Wire::Plain || !forgeable(kind)) && self.check(*kind).is_some_and(Checked::proves)
        };
        BY_COST.into_iter().find(good)
    }

    /// Whether a kind of proof may be checked, as far as is known.
    pub(super) fn unclear_proof(&self) -> bool {
        self.checks.values().any(|check| !check.proves() && !check.fails())
    }

    pub(super) fn may(&self, right: Right) -> bool {
        self.rights.get(&right).is_some_and(Answered::is_yes)
    }

    pub(super) fn conditional(&self) -> bool {
        self.only_new.is_yes() && self.winners == Some(1) && self.only_new_completed.is_yes()
    }

    /// For `store.max_parts`: never more than is configured, for somebody may have had a reason.
    pub(super) fn part_limit(&self) -> Option<usize> {
        self.most_parts.map(|most| (most as usize).min(self.configured.max_parts))
    }

    /// For `store.checksum`. What could not be examined makes no line, and above all none that switches the signature off.
    fn checksum_line(&self) -> Option<Checksum> {
        let now = self.configured.checksum;
        let back = now != Checksum::Signed && self.check(now).is_some_and(Checked::fails);
        match self.proof() {
            _ if self.checks.is_empty() => None,
            None if self.unclear_proof() && !back => None,
            // Taken everywhere, and noticed by more between here and there than this store.
            proof => Some(proof.unwrap_or_default()),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(style) = self.found_with_path_style {
            lines.push(format!("path_style = {style}"));
        }
        if let Some(checksum) = self.checksum_line() {
            lines.push(format!("checksum = \"{checksum}\""));
        }
        if self.only_new != Answered::NotAsked {
            lines.push(format!("conditional = {}", self.conditional()));
        }
        if let Some(most) = self.part_limit() {
            lines.push(format!("max_parts = {most}"));
        }
        if let (Some(largest), Some(_)) = (self.largest_part, &self.too_large) {
            lines.push(format!("part_size = \"{} MiB\"", largest >> 20));
        }
        lines
    }
}
