//! kill -9 at random moments loses nothing, doubles nothing, and needs nobody.
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::journal::Event;
use tsd_import::package::Priority;
use tsd_import::supervisor::Dice;

use crate::world::{World, sample_ids};

/// Random moments, from a seed that is printed and can be given again.
pub struct Moments(Dice);

impl Moments {
    pub fn new() -> Self {
        let given = std::env::var("TSD_IMPORT_SEED").ok().and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| {
            u64::from(std::process::id()) << 20 | tsd_import::clock::now().as_millisecond() as u64 & 0xfffff
        });
        println!("seed: TSD_IMPORT_SEED={seed}");
        Self(Dice::seeded(seed))
    }

    pub fn below(&self, n: u64) -> u64 {
        (self.0.roll() * n as f64) as u64
    }
}

#[tokio::test]
async fn either_role_three_times_at_random_moments() {
    let moments = Moments::new();
    let mut world = World::new().await;
    let dna = world.samples(9, 6 << 20);
    let vcf = vec![7; 300_000];
    for n in 0..3 {
        world
            .site
            .drop_in(
                "analyses-results/trios",
                &format!("Diag-t{n}"),
                Priority::Normal,
                &[("a.vcf", vcf.clone()), ("b/c.txt", b"x".to_vec())],
            )
            .unwrap();
    }
    world.start_both();
    for round in 1..=3 {
        for role in [Role::Nsc, Role::Tsd] {
            let starts = |w: &World| {
                w.events(role).iter().filter(|l| matches!(l.event, Event::Started { .. })).count()
            };
            world.until("it has begun", |w| starts(w) == round).await;
            tokio::time::sleep(Duration::from_millis(moments.below(900))).await;
            world.kill(role).await;
            world.start(role, &[]);
        }
    }
    let mut ids = sample_ids(&dna);
    ids.extend((0..3).map(|n| format!("analyses-results/trios/Diag-t{n}/r1")));
    world.see_it_through(&ids).await;
    for (n, dna) in dna.iter().enumerate() {
        world.reads_are_those_delivered(dna, Priority::ALL[n % 3]);
    }
    let review = world.review(Role::Nsc);
    assert!(review.contains("4 starts, 3 after a crash or kill: 2"), "{review}");
}
