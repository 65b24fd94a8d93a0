//! Real reads: 100,000 pairs of Debian's `seqprep-data` through both processes.
use std::path::PathBuf;

use tsd_import::demo::site::{Order, Reads};
use tsd_import::package::Priority;

use crate::world::{World, sample_ids};

const READS: &str = "/usr/share/doc/seqprep/examples/data/multiplex_bad_contam_";

#[tokio::test]
async fn the_files_that_arrive_are_the_files_that_were_delivered() {
    let [r1, r2] = ["1", "2"].map(|n| PathBuf::from(format!("{READS}{n}.fq.gz")));
    if !r1.is_file() {
        eprintln!(
            "IGNORED: Debian's package seqprep-data is not installed, so no real reads were carried (apt-get install seqprep-data)"
        );
        return;
    }
    let lines = |path: &PathBuf| {
        let file = std::fs::File::open(path).unwrap();
        std::io::BufRead::lines(std::io::BufReader::new(flate2::read::MultiGzDecoder::new(file))).count()
    };
    assert_eq!((lines(&r1), lines(&r2)), (400_000, 400_000), "100,000 pairs");
    let mut world = World::new().await;
    let dna = "HG40000001".to_owned();
    let order =
        Order { dna: dna.clone(), priority: Priority::Urgent, family: None, reads: Reads::Real(r1, r2) };
    let sample = world.site.sequence(&order).unwrap();
    world.site.sums().unwrap();
    world.site.lims.enqueue(&sample.root_artifact).unwrap();
    world.start_both();
    let ids = sample_ids(std::slice::from_ref(&dna));
    world.see_it_through(&ids).await;
    world.reads_are_those_delivered(&dna, Priority::Urgent);
    println!("carried 100,000 real read pairs");
}
