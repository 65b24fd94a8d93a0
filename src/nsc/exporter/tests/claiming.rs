use super::*;

const KEYED: &[(&str, &str)] = &[("LIMS__KEY_FIELD", "Export key")];

#[tokio::test]
async fn a_claim_bears_its_key_and_is_found_again_by_it() {
    let lab = Lab::new(Server { started_reads: 2, ..Server::default() }, KEYED).await;
    let artifacts = lab.samples(2);
    assert_eq!(lab.exporter.find_claim(&order(&artifacts), None).await.unwrap(), Found::Queued);
    let (order, step) = lab.claimed(&artifacts).await;
    assert_eq!(lab.step(&step).fields, [Udf::string("Export key", &order.id)]);
    for us in [None, Some("3"), Some("99")] {
        let found = lab.exporter.find_claim(&order, us).await.unwrap();
        assert_eq!(found, Found::Claimed(Claim { id: step.clone(), us: Some("3".into()) }), "{us:?}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_written_does_not_lose_the_claim() {
    let lab = Lab::new(Server::default(), &[("LIMS__KEY_FIELD", "No such field")]).await;
    let (order, step) = lab.claimed(&lab.samples(1)).await;
    let found = lab.exporter.find_claim(&order, None).await.unwrap();
    assert_eq!(found, Found::Claimed(Claim { id: step, us: Some("3".into()) }));
}

#[tokio::test]
async fn steps_of_others_and_completed_ones_are_not_ours_and_are_named() {
    let lab = Lab::new(Server::default(), &[]).await;
    let artifacts = lab.samples(2);
    let theirs = lab.lims.start_elsewhere(&artifacts).unwrap();
    let lost = async |us| match lab.exporter.find_claim(&order(&artifacts), us).await.unwrap() {
        Found::Lost(why) => why,
        other => panic!("{other:?}"),
    };
    let why = lost(None).await; // the LIMS is asked who we are
    assert!(why.ends_with(&format!("step {theirs} with them was opened by researcher 64")), "{why}");
    lab.lims.complete_elsewhere(&theirs).unwrap();
    let why = lost(Some("64")).await;
    assert!(why.ends_with(&format!("step {theirs} with them is completed")), "{why}");
    let more = [artifacts.as_slice(), &lab.samples(1)].concat();
    let Found::Lost(why) = lab.exporter.find_claim(&order(&more), Some("3")).await.unwrap() else { panic!() };
    assert!(
        why.contains(&format!("step {theirs} (Completed) holds"))
            && why.contains("is in the queue, the others"),
        "{why}"
    );
}

#[tokio::test]
async fn who_took_a_sample_meanwhile_is_told() {
    let lab = Lab::new(Server::default(), &[]).await;
    let artifacts = lab.samples(2);
    // Taken between the look at the queue and the request: the queue that is read first is an old one.
    lab.lims.fault(FaultRule::once(
        "POST",
        "/steps",
        Trouble::Exception { status: 400, message: "not queued".into() },
    ));
    let why = said(lab.exporter.claim(&order(&artifacts)).await.unwrap_err());
    assert!(why.ends_with("with 400: not queued"), "{why}");
    let _theirs = lab.lims.start_elsewhere(&artifacts[..1]).unwrap();
    let refusal = lab.exporter.refused(&lims_ids(&artifacts).unwrap(), "no").await.unwrap();
    assert_eq!(said(refusal), format!("no; meanwhile somebody took {} out of the queue", artifacts[0]));
    let why = said(lab.exporter.claim(&order(&artifacts)).await.unwrap_err());
    assert_eq!(
        why,
        format!("{} is not in the queue any more: withdrawn, or taken by somebody", artifacts[0])
    );
    assert_eq!(lab.lims.steps().len(), 1);
}

#[tokio::test]
async fn open_steps_of_ours_are_found_without_a_journal() {
    let lab = Lab::new(Server { page_size: 2, ..Server::default() }, &[]).await;
    let artifacts = lab.samples(6);
    let (_, mine) = lab.claimed(&artifacts[..2]).await;
    let (done, closed) = lab.claimed(&artifacts[2..3]).await;
    assert_eq!(lab.exporter.end(&closed, &done, &Ending::Delivered).await.unwrap(), Ended::Completed);
    let _theirs = lab.lims.start_elsewhere(&artifacts[3..4]).unwrap();
    lab.lims.fault(FaultRule::always("GET", "processes", Trouble::BogusRow("24-1".into())));
    let want = vec![(LimsId::new(&mine).unwrap(), lims_ids(&artifacts[..2]).unwrap())];
    assert_eq!(lab.exporter.orphans(None).await.unwrap(), want);
    assert_eq!(lab.exporter.orphans(Some("3")).await.unwrap(), want);
    assert_eq!(lab.exporter.orphans(Some("4")).await.unwrap(), []);
}

#[tokio::test]
async fn without_account_and_key_nothing_is_taken_for_ours() {
    let lab = Lab::new(Server::default(), &[]).await;
    let _mine = lab.claimed(&lab.samples(1)).await;
    lab.lims.fault(FaultRule::always("GET", "researchers", Trouble::Empty403));
    let why = said(lab.exporter.orphans(None).await.unwrap_err());
    assert!(why.contains("set lims.key_field"), "{why}");
    let keyed = Lab::new(Server::default(), KEYED).await;
    let artifacts = keyed.samples(2);
    let (_, mine) = keyed.claimed(&artifacts).await;
    keyed.lims.fault(FaultRule::always("GET", "researchers", Trouble::Empty403));
    assert_eq!(
        keyed.exporter.orphans(None).await.unwrap(),
        [(LimsId::new(&mine).unwrap(), lims_ids(&artifacts).unwrap())]
    );
}
