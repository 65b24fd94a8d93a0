//! The 64 steps, for one chain of values or for two whose steps alternate, over ordinary registers or over vectors of four.
//!
//! The chains stand in variables of their own on purpose: in arrays the compiler keeps them in memory, which costs three times
//! the time.
use std::array::from_fn;
use std::num::Wrapping;
use std::ops::{Add, BitAnd, BitOr, BitXor, Not};

use wide::u32x4;

/// Sixteen words, the least significant byte first.
pub(crate) type Block = [u8; 64];

/// What a step needs of a register; additions wrap.
trait Word:
    Copy
    + Add<Output = Self>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
{
    fn all(value: u32) -> Self;
    fn turn<const BITS: u32>(self) -> Self;
}

impl Word for Wrapping<u32> {
    #[inline(always)]
    fn all(value: u32) -> Self {
        Self(value)
    }
    #[inline(always)]
    fn turn<const BITS: u32>(self) -> Self {
        Self(self.0.rotate_left(BITS))
    }
}

impl Word for u32x4 {
    #[inline(always)]
    fn all(value: u32) -> Self {
        Self::splat(value)
    }
    #[inline(always)]
    fn turn<const BITS: u32>(self) -> Self {
        (self << BITS) | (self >> (32 - BITS))
    }
}

/// The whole part of 2³² · |sin n|, n from 1.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

// What does not depend on the newest value, `b`, is computed first: the next step waits for it alone.
#[inline(always)]
fn f<W: Word>(b: W, c: W, d: W, rest: W) -> W {
    (d ^ (b & (c ^ d))) + rest
}
/// The two halves share no bit, so an addition does for the `or`, and half of it is early.
#[inline(always)]
fn g<W: Word>(b: W, c: W, d: W, rest: W) -> W {
    (rest + (c & !d)) + (b & d)
}
#[inline(always)]
fn h<W: Word>(b: W, c: W, d: W, rest: W) -> W {
    (b ^ (c ^ d)) + rest
}
#[inline(always)]
fn i<W: Word>(b: W, c: W, d: W, rest: W) -> W {
    (c ^ (b | !d)) + rest
}

/// Four steps of every chain `(a b c d words)`.
macro_rules! steps {
    ($op:ident $n:literal, $w0:literal $w1:literal $w2:literal $w3:literal, $s0:literal $s1:literal $s2:literal $s3:literal,
     $(($a:ident $b:ident $c:ident $d:ident $m:ident))+) => {
        $($a = $op($b, $c, $d, $a + ($m[$w0] + Word::all(SINES[$n]))).turn::<$s0>() + $b;)+
        $($d = $op($a, $b, $c, $d + ($m[$w1] + Word::all(SINES[$n + 1]))).turn::<$s1>() + $a;)+
        $($c = $op($d, $a, $b, $c + ($m[$w2] + Word::all(SINES[$n + 2]))).turn::<$s2>() + $d;)+
        $($b = $op($c, $d, $a, $b + ($m[$w3] + Word::all(SINES[$n + 3]))).turn::<$s3>() + $c;)+
    };
}

macro_rules! compress {
    ($($chain:tt)+) => {
        steps!(f 0, 0 1 2 3, 7 12 17 22, $($chain)+);
        steps!(f 4, 4 5 6 7, 7 12 17 22, $($chain)+);
        steps!(f 8, 8 9 10 11, 7 12 17 22, $($chain)+);
        steps!(f 12, 12 13 14 15, 7 12 17 22, $($chain)+);
        steps!(g 16, 1 6 11 0, 5 9 14 20, $($chain)+);
        steps!(g 20, 5 10 15 4, 5 9 14 20, $($chain)+);
        steps!(g 24, 9 14 3 8, 5 9 14 20, $($chain)+);
        steps!(g 28, 13 2 7 12, 5 9 14 20, $($chain)+);
        steps!(h 32, 5 8 11 14, 4 11 16 23, $($chain)+);
        steps!(h 36, 1 4 7 10, 4 11 16 23, $($chain)+);
        steps!(h 40, 13 0 3 6, 4 11 16 23, $($chain)+);
        steps!(h 44, 9 12 15 2, 4 11 16 23, $($chain)+);
        steps!(i 48, 0 7 14 5, 6 10 15 21, $($chain)+);
        steps!(i 52, 12 3 10 1, 6 10 15 21, $($chain)+);
        steps!(i 56, 8 15 6 13, 6 10 15 21, $($chain)+);
        steps!(i 60, 4 11 2 9, 6 10 15 21, $($chain)+);
    };
}

fn run_one<W: Word>(start: [W; 4], blocks: usize, words: impl Fn(usize) -> [W; 16]) -> [W; 4] {
    let [mut a, mut b, mut c, mut d] = start;
    for n in 0..blocks {
        let m = words(n);
        let (a0, b0, c0, d0) = (a, b, c, d);
        compress!((a b c d m));
        (a, b, c, d) = (a + a0, b + b0, c + c0, d + d0);
    }
    [a, b, c, d]
}

#[inline(always)]
fn run_two<W: Word>(
    [one, two]: [[W; 4]; 2],
    blocks: usize,
    words: impl Fn(usize) -> [[W; 16]; 2],
) -> [[W; 4]; 2] {
    let ([mut a, mut b, mut c, mut d], [mut p, mut q, mut r, mut s]) = (one, two);
    for n in 0..blocks {
        let [m, o] = words(n);
        let (a0, b0, c0, d0, p0, q0, r0, s0) = (a, b, c, d, p, q, r, s);
        compress!((a b c d m) (p q r s o));
        (a, b, c, d) = (a + a0, b + b0, c + c0, d + d0);
        (p, q, r, s) = (p + p0, q + q0, r + r0, s + s0);
    }
    [[a, b, c, d], [p, q, r, s]]
}

// Written out: over closures the compiler makes calls of these, for every block.
#[inline(always)]
fn word(block: &Block, n: usize) -> u32 {
    let [a, b, c, d] = block.as_chunks::<4>().0[n];
    u32::from_le_bytes([a, b, c, d])
}

#[inline(always)]
fn words(block: &Block) -> [Wrapping<u32>; 16] {
    let mut all = [Wrapping(0); 16];
    for (n, at) in all.iter_mut().enumerate() {
        *at = Wrapping(word(block, n));
    }
    all
}

#[inline(always)]
fn four_words(block: &Block, at: usize) -> u32x4 {
    u32x4::new([word(block, at), word(block, at + 1), word(block, at + 2), word(block, at + 3)])
}

/// Word `n` of each of four blocks, side by side.
#[inline(always)]
fn across([one, two, three, four]: [&Block; 4]) -> [u32x4; 16] {
    let mut all = [u32x4::ZERO; 16];
    for at in [0, 4, 8, 12] {
        let rows = [four_words(one, at), four_words(two, at), four_words(three, at), four_words(four, at)];
        let [a, b, c, d] = u32x4::transpose(rows);
        (all[at], all[at + 1], all[at + 2], all[at + 3]) = (a, b, c, d);
    }
    all
}

#[inline(always)]
fn side_by_side(states: [[u32; 4]; 4]) -> [u32x4; 4] {
    u32x4::transpose(states.map(u32x4::new))
}

#[inline(always)]
fn apart(state: [u32x4; 4]) -> [[u32; 4]; 4] {
    u32x4::transpose(state).map(u32x4::to_array)
}

/// All lanes have as many blocks as the shortest.
fn least<const N: usize>(lanes: [&[Block]; N]) -> (usize, [&[Block]; N]) {
    let least = lanes.iter().map(|l| l.len()).min().unwrap_or(0);
    (least, lanes.map(|l| &l[..least]))
}

#[inline(never)]
pub(crate) fn one(states: &mut [[u32; 4]; 1], lanes: [&[Block]; 1]) {
    let (blocks, [l]) = least(lanes);
    *states = states.map(|state| run_one(state.map(Wrapping), blocks, |n| words(&l[n])).map(|w| w.0));
}

#[inline(never)]
pub(crate) fn two(states: &mut [[u32; 4]; 2], lanes: [&[Block]; 2]) {
    let (blocks, [l, m]) = least(lanes);
    let start = states.map(|state| state.map(Wrapping));
    *states = run_two(start, blocks, |n| [words(&l[n]), words(&m[n])]).map(|state| state.map(|w| w.0));
}

#[inline(never)]
pub(crate) fn four(states: &mut [[u32; 4]; 4], lanes: [&[Block]; 4]) {
    let (blocks, l) = least(lanes);
    *states =
        apart(run_one(side_by_side(*states), blocks, |n| across([&l[0][n], &l[1][n], &l[2][n], &l[3][n]])));
}

#[inline(never)]
pub(crate) fn eight(states: &mut [[u32; 4]; 8], lanes: [&[Block]; 8]) {
    let (blocks, l) = least(lanes);
    let start = [from_fn(|n| states[n]), from_fn(|n| states[n + 4])].map(side_by_side);
    let done = run_two(start, blocks, |n| {
        let (one, two) = ([&l[0][n], &l[1][n], &l[2][n], &l[3][n]], [&l[4][n], &l[5][n], &l[6][n], &l[7][n]]);
        [across(one), across(two)]
    });
    for (state, new) in states.iter_mut().zip(done.into_iter().flat_map(apart)) {
        *state = new;
    }
}
