//! The compression function of md5 for several independent messages in lockstep.
//!
//! Each of md5's 64 steps waits for the one before it, so a single message leaves most of a core idle. Messages side by side fill
//! it: two as two chains of ordinary registers, four in the lanes of one vector, eight in two vectors whose steps alternate.
//! Measured on an EPYC (Zen 3) at the baseline target (SSE2), CPU s/GiB: one message with `md-5` 1.92; two 1.1; four 0.69; eight 0.36.
//!
//! A package of its own so that it is optimised in debug builds too. Only whole blocks are handled here; padding, counting and
//! what is left of a block stay with whoever has the rest of md5.
mod kernel;

/// So many messages are advanced at a time at most.
pub const MOST: usize = 8;

/// One message: its chaining value, and the whole blocks that come next.
#[derive(Clone, Debug)]
pub struct Lane<'a> {
    /// A, B, C, D.
    pub state: [u32; 4],
    /// Used up by [`advance`].
    pub blocks: &'a [[u8; 64]],
}

/// Advances every message to the end of its blocks, however different their lengths are. More than [`MOST`] are taken in groups.
#[inline(never)]
pub fn advance(lanes: &mut [Lane<'_>]) {
    for group in lanes.chunks_mut(MOST) {
        let mut active: Vec<&mut Lane<'_>> = group.iter_mut().filter(|l| !l.blocks.is_empty()).collect();
        while let Some(together) = active.iter().map(|l| l.blocks.len()).min() {
            match active.len() {
                1 => step::<1>(&mut active, together, kernel::one),
                2 => step::<2>(&mut active, together, kernel::two),
                3 | 4 => step::<4>(&mut active, together, kernel::four),
                _ => step::<8>(&mut active, together, kernel::eight),
            }
            active.retain(|l| !l.blocks.is_empty());
        }
    }
}

/// Runs a kernel over the next `together` blocks of each. Lanes without a message repeat the first one, for nothing.
fn step<const N: usize>(
    active: &mut [&mut Lane<'_>],
    together: usize,
    kernel: impl Fn(&mut [[u32; 4]; N], [&[kernel::Block]; N]),
) {
    let Some(first) = active.first().map(|l| (l.state, l.blocks)) else { return };
    let mine = |n: usize| active.get(n).map_or(first, |l| (l.state, l.blocks));
    let mut states: [[u32; 4]; N] = std::array::from_fn(|n| mine(n).0);
    kernel(&mut states, std::array::from_fn(|n| mine(n).1.get(..together).unwrap_or_default()));
    for (lane, state) in active.iter_mut().zip(states) {
        lane.state = state;
        lane.blocks = lane.blocks.get(together..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

    fn expected(state: [u32; 4], blocks: &[[u8; 64]]) -> [u32; 4] {
        let mut state = state;
        md5::block_api::compress(&mut state, blocks);
        state
    }

    #[test]
    fn a_block_of_zeros_and_no_block_at_all() {
        let mut lanes = [Lane { state: START, blocks: &[[0; 64]] }, Lane { state: START, blocks: &[] }];
        advance(&mut lanes);
        assert_eq!(lanes[0].state, expected(START, &[[0; 64]]));
        assert_eq!(lanes[1].state, START);
        advance(&mut []);
    }

    proptest! {
        #[test]
        fn each_lane_is_what_md5_alone_makes_of_it(
            messages in proptest::collection::vec((any::<[u32; 4]>(), 0usize..40, any::<u64>()), 0..20),
        ) {
            let made: Vec<([u32; 4], Vec<[u8; 64]>)> = messages.into_iter().map(|(state, blocks, seed)| {
                let mut word = seed | 1;
                let mut next = || {
                    word ^= word << 13;
                    word ^= word >> 7;
                    word ^= word << 17;
                    (word >> 24) as u8
                };
                (state, (0..blocks).map(|_| std::array::from_fn(|_| next())).collect())
            }).collect();
            let mut lanes: Vec<Lane<'_>> =
                made.iter().map(|(state, blocks)| Lane { state: *state, blocks }).collect();
            advance(&mut lanes);
            for (lane, (state, blocks)) in lanes.iter().zip(&made) {
                prop_assert_eq!(lane.state, expected(*state, blocks));
                prop_assert!(lane.blocks.is_empty());
            }
        }
    }
}
