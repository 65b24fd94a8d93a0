//! The closed vocabularies of the API, as enums that survive a word they do not know.
//!
//! Clarity adds words with new versions and compares none of them by case, so an unknown word is kept as `Other`, as
//! it came, and known ones are recognised in any case. `Display` gives the word as the API writes it.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $(
                #[doc = concat!("`", $word, "`")]
                $(#[$note])*
                $variant,
            )*
            /// A word this program does not know, as it came.
            Other(String),
        }

        impl $name {
            /// Recognises the word in any case; spaces around it do not matter.
            pub fn parse(word: &str) -> Self {
                let word = word.trim();
                $(if word.eq_ignore_ascii_case($word) {
                    return Self::$variant;
                })*
                Self::Other(word.to_owned())
            }

            /// The word as the API writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Where a step stands. A step without outputs goes `Started`, perhaps `Step Setup`, `Record Details`,
    /// `Assign Next Steps`, `Completed`.
    State {
        /// The server is still setting the step up, or a program of its entry runs.
        Started = "Started",
        StepSetup = "Step Setup",
        Placement = "Placement",
        /// Cannot be left through the API in most versions.
        Arranging = "Arranging",
        Pooling = "Pooling",
        AddReagent = "Add Reagent",
        RecordDetails = "Record Details",
        AssignNextSteps = "Assign Next Steps",
        Completed = "Completed",
    }
}

impl State {
    /// Whether the step waits for a manager. The exact word differs between versions.
    pub fn is_review(&self) -> bool {
        matches!(self, Self::Other(word) if word.to_ascii_lowercase().contains("review"))
    }
}

words! {
    /// Quality flag of an artifact.
    QcFlag {
        Unknown = "UNKNOWN",
        Passed = "PASSED",
        Failed = "FAILED",
        Continue = "CONTINUE",
    }
}

words! {
    /// What became of an artifact in a stage. The list of stages is a history: the same stage repeats.
    StageStatus {
        Queued = "QUEUED",
        InProgress = "IN_PROGRESS",
        Skipped = "SKIPPED",
        Removed = "REMOVED",
        Complete = "COMPLETE",
        Reworked = "REWORKED",
    }
}

words! {
    /// How a program (EPP) of a step did.
    ProgramState {
        Ok = "OK",
        Error = "ERROR",
        Warning = "WARNING",
        Running = "RUNNING",
        Queued = "QUEUED",
    }
}

impl ProgramState {
    /// Not ended yet.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Running | Self::Queued)
    }

    /// Ended in a way that a person must look at; nothing in the API clears it.
    pub fn needs_a_person(&self) -> bool {
        matches!(self, Self::Error | Self::Warning)
    }
}

words! {
    /// What happens to an artifact when its step ends, as the actions document has it.
    ActionWord {
        Leave = "leave",
        Repeat = "repeat",
        Remove = "remove",
        Review = "review",
        Complete = "complete",
        Store = "store",
        NextStep = "nextstep",
        Rework = "rework",
        CompleteRepeat = "completerepeat",
        Unknown = "unknown",
    }
}

words! {
    /// The declared type of a user-defined field.
    UdfKind {
        String = "String",
        Text = "Text",
        Boolean = "Boolean",
        Numeric = "Numeric",
        Date = "Date",
        Uri = "URI",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_in_any_case_and_unknown_ones_kept() {
        assert_eq!(State::parse(" RECORD DETAILS "), State::RecordDetails);
        assert_eq!(State::parse("Assign Next Steps").as_str(), "Assign Next Steps");
        assert_eq!(State::parse("Sleeping"), State::Other("Sleeping".into()));
        assert_eq!(StageStatus::parse("in_progress").to_string(), "IN_PROGRESS");
        assert!(State::parse("Under Review").is_review());
        assert!(!State::Completed.is_review());
        assert!(ProgramState::parse("queued").is_busy() && ProgramState::parse("Warning").needs_a_person());
    }
}
