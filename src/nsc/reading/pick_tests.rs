use super::super::memory::Vain;
use super::*;

fn seen(n: usize, priority: Priority, family: Option<(&str, Relation)>) -> Seen {
    Seen {
        artifact: LimsId::new(&format!("2-{n:05}")).unwrap(),
        sample: LimsId::new(&format!("OUS1A{n}")).unwrap(),
        name: Some(format!("HG{n:08}-Nett-KIT-wgs")),
        priority,
        family: family.map(|(number, relation)| (number.to_owned(), relation)),
        queued_at: Some(Timestamp::from_second(1_000_000 + n as i64).unwrap()),
        claim: None,
    }
}

fn names(units: &[Vec<Seen>]) -> Vec<String> {
    units.iter().map(|u| u.iter().map(|s| s.artifact.to_string()).collect::<Vec<_>>().join("+")).collect()
}

fn learn(memory: &mut Memory, queued: &[Seen], vain: &[(usize, NotYet)]) {
    memory.round += 1;
    let queued = queued.iter().map(|s| s.artifact.to_string()).collect();
    let of = |(n, said): &(usize, NotYet)| {
        (format!("2-{n:05}"), Vain { round: memory.round, who: "who".into(), said: said.clone() })
    };
    let vain: Vec<(String, Vain)> = vain.iter().map(of).collect();
    let read = vain.iter().map(|(artifact, _)| artifact.clone()).collect();
    memory.learn(&queued, &read, vain);
}

#[test]
fn the_most_urgent_then_the_longest_queued_and_who_was_read_in_vain_last() {
    let all: Vec<Seen> =
        (1..=6).map(|n| seen(n, if n == 5 { Priority::Urgent } else { Priority::Normal }, None)).collect();
    let mut memory = Memory::default();
    let plan = pick(all.clone(), &memory, 3);
    assert_eq!(names(&plan.units), ["2-00005", "2-00001", "2-00002"]);
    assert_eq!(plan.later.len(), 3);
    assert!(size_of::<Seen>() <= 200, "tens of thousands of them are kept at the same time");
    learn(&mut memory, &all, &[(5, NotYet::waits("x")), (1, NotYet::waits("x"))]);
    assert_eq!(names(&pick(all.clone(), &memory, 3).units), ["2-00002", "2-00003", "2-00004"]);
    learn(&mut memory, &all, &[(2, NotYet::waits("x")), (3, NotYet::waits("x")), (4, NotYet::waits("x"))]);
    assert_eq!(
        names(&pick(all.clone(), &memory, 3).units),
        ["2-00006", "2-00005", "2-00001"],
        "everybody's turn comes"
    );
    learn(&mut memory, &all[..1], &[]);
    assert!(
        memory.of("2-00001").is_some() && memory.of("2-00002").is_none(),
        "who left the queue is forgotten"
    );
}

#[test]
fn a_doubt_is_looked_at_again_soon() {
    let all: Vec<Seen> = (1..=12).map(|n| seen(n, Priority::Normal, None)).collect();
    let mut memory = Memory::default();
    learn(
        &mut memory,
        &all,
        &[(7, NotYet::invalid("x")), (8, NotYet::invalid("x")), (9, NotYet::waits("x"))],
    );
    let plan = pick(all, &memory, 4);
    assert_eq!(names(&plan.units), ["2-00007", "2-00001", "2-00002", "2-00003"], "a quarter of the places");
}

#[test]
fn a_family_is_read_whole_and_waits_by_name() {
    let trio = |n: usize| {
        Relation::ALL.map(|relation| seen(n + relation as usize, Priority::Normal, Some(("7", relation))))
    };
    let [proband, father, mother] = trio(1);
    let plan = pick(
        vec![mother.clone(), seen(9, Priority::High, None), proband.clone(), father.clone()],
        &Memory::default(),
        3,
    );
    assert_eq!(names(&plan.units), ["2-00009"], "three more would be too many");
    assert_eq!(plan.later.len(), 3);
    let plan = pick(vec![mother.clone(), proband.clone(), father], &Memory::default(), 1);
    assert_eq!(names(&plan.units), ["2-00001+2-00002+2-00003"], "but one unit is always read");
    let plan = pick(vec![proband, mother], &Memory::default(), 10);
    assert!(plan.units.is_empty());
    for (_, said) in &plan.said {
        let NotYet::Waits(why) = said else { panic!("time cures it") };
        assert_eq!(
            why,
            "family 7: the father is not in the queue yet; HG00000001-Nett-KIT-wgs (2-00001) (proband) and \
             HG00000003-Nett-KIT-wgs (2-00003) (mother) wait for that"
        );
    }
    assert_eq!(plan.said.len(), 2);
}

#[test]
fn two_in_one_role_and_one_in_two_roles_are_doubts() {
    let mut all: Vec<Seen> = Relation::ALL
        .map(|relation| seen(1 + relation as usize, Priority::Normal, Some(("7", relation))))
        .to_vec();
    all.push(seen(9, Priority::Normal, Some(("7", Relation::Father))));
    let plan = pick(all.clone(), &Memory::default(), 10);
    assert!(plan.units.is_empty());
    let doubted = |plan: &Plan| -> Vec<String> {
        let wrong = plan.said.iter().filter(|(_, said)| matches!(said, NotYet::Wrong(_)));
        wrong.map(|(one, _)| one.artifact.to_string()).collect()
    };
    assert_eq!(doubted(&plan), ["2-00002", "2-00009"]);
    assert!(
        plan.said
            .iter()
            .all(|(_, said)| said.words().contains("HG00000002") && said.words().contains("HG00000009"))
    );

    // The mother of family 7 is said to be the patient of family 8.
    all[3] = Seen { name: all[2].name.clone(), ..seen(10, Priority::Normal, Some(("8", Relation::Proband))) };
    let plan = pick(all, &Memory::default(), 10);
    assert!(plan.units.is_empty());
    assert_eq!(doubted(&plan), ["2-00003", "2-00010"]);
    let (_, said) = plan.said.iter().find(|(one, _)| one.artifact.as_str() == "2-00003").unwrap();
    assert_eq!(
        said.words(),
        "HG00000003 is proband of family 8 and mother of family 7: one sample cannot be both"
    );
    assert_eq!(plan.said.len(), 4, "the others of family 7 wait");
}

#[test]
fn a_claim_is_ordered_whole_and_before_all_others() {
    let claimed = |n, family| Seen { claim: Some("24-1".into()), ..seen(n, Priority::Normal, family) };
    let queued = seen(1, Priority::Urgent, None);
    let plan = pick(vec![queued.clone(), claimed(2, None)], &Memory::default(), 1);
    assert_eq!(names(&plan.units), ["2-00002"]);
    let plan = pick(vec![queued.clone(), claimed(2, None), claimed(3, None)], &Memory::default(), 5);
    assert_eq!(names(&plan.units), ["2-00001"]);
    assert!(plan.said.iter().all(|(_, said)| said.words().contains("step 24-1 is open in our name")));
    // A member that is queued is no member of the claimed family.
    let mut family: Vec<Seen> =
        Relation::ALL.map(|relation| claimed(4 + relation as usize, Some(("7", relation)))).to_vec();
    let plan = pick(family.clone(), &Memory::default(), 1);
    assert_eq!(plan.units.len(), 1);
    family[2].claim = None;
    let plan = pick(family, &Memory::default(), 9);
    assert!(plan.units.is_empty() && plan.said.len() == 3);
}
