//! Why something was given up, and the names under which that is counted.

/// Declares the reasons once: code, name and what it means.
macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why a record, signal, trace or session was given up. Every refusal counts under one of these.
        ///
        /// # Shape
        /// The code is the `reason` of a LOST record and the position of the counter in a thread slot; it never changes.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])* $variant = $code,)*
        }

        impl DropReason {
            /// Every reason, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name under which metrics and certificates show it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns the reason with code `code`.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

drop_reasons! {
    /// No chunk was free when a thread needed one.
    NoChunk = 1, "no_chunk";
    /// A record came while the thread had no active trace.
    NoTrace = 2, "no_trace";
    /// The process has no session with an agent.
    NoSession = 3, "no_session";
    /// A signal handler wrote while its thread was inside a write.
    Reentrant = 4, "reentrant";
    /// More threads than the region has slots.
    ThreadSlots = 5, "thread_slots";
    /// The thread's signal ring was full.
    SignalFull = 6, "signal_full";
    /// The region's string table was full; the string was written inline.
    StringTable = 7, "string_table";
    /// One call wanted to record more than the limit of 1 MiB.
    TooLong = 8, "too_long";
    /// A trigger fired more often than its rate.
    Rate = 9, "rate";
    /// The trace's priority was below what the moment could keep.
    Priority = 10, "priority";
    /// The data had left the horizon.
    Evicted = 11, "evicted";
    /// The trace was larger than one trace may be.
    TraceTooLarge = 12, "trace_too_large";
    /// The shared memory held something that its writer could not have written.
    Corrupt = 13, "corrupt";
    /// A trigger could not be announced to the collector, or not in time: too many waited, or it was away for too long.
    Unannounced = 14, "unannounced";
    /// More breadcrumbs than are kept of one trace, or at a time.
    Crumbs = 15, "crumbs";
}

/// Counters of a thread slot: one for each code, code 0 unused.
pub const DROP_COUNTERS: usize = 16;

impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{DROP_COUNTERS, DropReason};

    #[test]
    fn every_code_finds_its_reason_and_fits_the_counters() {
        for reason in DropReason::ALL {
            assert_eq!(DropReason::from_code(*reason as u8), Some(*reason));
            assert!((*reason as usize) < DROP_COUNTERS);
        }
        assert_eq!(DropReason::from_code(0), None);
    }
}
