//! md5 of several files in lockstep. `md-5` keeps each file's state, its begun block and the padding; whole blocks go through
//! [`md5_lanes`], which advances files side by side in the time that one would take.
use md5::{Digest, Md5};
use md5_lanes::Lane;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

/// So many files at a time.
pub(super) const MOST: usize = md5_lanes::MOST;

const BLOCK: usize = 64;
/// The chaining value comes first in a written state, then the number of blocks.
const WORDS: usize = 16;
const COUNT: usize = 24;

/// Feeds each digest its bytes.
pub(super) fn advance(files: &mut [(Md5, &[u8])]) {
    if let [(md5, bytes)] = files {
        return md5.update(bytes); // alone, the lanes gain nothing
    }
    let mut lanes = Vec::with_capacity(files.len());
    let mut rest = Vec::with_capacity(files.len());
    for (md5, bytes) in files.iter_mut() {
        let (head, later) = bytes.split_at(to_the_block(&md5.serialize()).min(bytes.len()));
        md5.update(head);
        let (blocks, tail) = later.as_chunks::<BLOCK>();
        lanes.push(Lane { state: words(&md5.serialize()), blocks });
        rest.push((blocks.len() as u64, tail));
    }
    md5_lanes::advance(&mut lanes);
    for ((md5, _), (lane, (blocks, tail))) in files.iter_mut().zip(lanes.iter().zip(rest)) {
        *md5 = moved_on(md5, lane.state, blocks);
        md5.update(tail);
    }
}

/// How many bytes are missing to the end of the block that was begun.
fn to_the_block(state: &SerializedState<Md5>) -> usize {
    let begun = state.get(COUNT).map_or(0, |n| usize::from(*n));
    (BLOCK - begun) % BLOCK
}

fn words(state: &SerializedState<Md5>) -> [u32; 4] {
    let (words, _) = state.as_chunks::<4>();
    std::array::from_fn(|n| words.get(n).map_or(0, |w| u32::from_le_bytes(*w)))
}

/// The same with another chaining value and so many more blocks behind it.
fn moved_on(md5: &Md5, state: [u32; 4], blocks: u64) -> Md5 {
    let mut written = md5.serialize();
    let (words, rest) = written.split_at_mut(WORDS);
    words.as_chunks_mut::<4>().0.iter_mut().zip(state).for_each(|(at, word)| *at = word.to_le_bytes());
    if let Some(count) = rest.first_chunk_mut::<8>() {
        *count = u64::from_le_bytes(*count).wrapping_add(blocks).to_le_bytes();
    }
    Md5::deserialize(&written).expect("only the chaining value and the count are other than it wrote them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Several files, each cut into pieces anywhere, side by side with whatever the others have at that time.
        #[test]
        fn however_files_are_cut_and_grouped_each_has_its_own_md5(
            files in proptest::collection::vec(proptest::collection::vec(0usize..700, 0..6), 1..12),
            seed in any::<u8>(),
        ) {
            let bytes = |file: usize, piece: usize, length: usize| -> Vec<u8> {
                (0..length).map(|n| (n * 7 + file * 31 + piece * 131 + usize::from(seed)) as u8).collect()
            };
            let mut states: Vec<Md5> = files.iter().map(|_| Md5::new()).collect();
            let mut whole: Vec<Md5> = states.clone();
            for piece in 0..6 {
                let there: Vec<(usize, Vec<u8>)> = files.iter().enumerate()
                    .filter_map(|(f, pieces)| Some((f, bytes(f, piece, *pieces.get(piece)?)))).collect();
                let mut group: Vec<(Md5, &[u8])> =
                    there.iter().map(|(f, bytes)| (states[*f].clone(), bytes.as_slice())).collect();
                advance(&mut group);
                for ((f, bytes), (md5, _)) in there.iter().zip(group) {
                    states[*f] = md5;
                    whole[*f].update(bytes);
                    // The state is the very one that `md-5` would have written, so it can be gone on with by either.
                    prop_assert_eq!(states[*f].serialize(), whole[*f].serialize());
                }
            }
            for (state, whole) in states.into_iter().zip(whole) {
                prop_assert_eq!(state.finalize(), whole.finalize());
            }
        }
    }
}
