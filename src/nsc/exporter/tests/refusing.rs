use super::*;

const ROUTE: &[(&str, &str)] = &[
    ("ORDERS__ON_INVALID", "route"),
    ("LIMS__FAILED_STAGE", FAILED_STAGE),
    ("LIMS__FAILURE_FIELD", FAILURE_FIELD),
];

#[tokio::test]
async fn what_cannot_be_exported_leaves_the_queue_by_one_request_with_its_reason() {
    for trouble in [Trouble::LagReads(0), Trouble::LagReads(3), Trouble::DropAfterWork] {
        let lab = Lab::new(Server { duplicates: true, ..server(false) }, ROUTE).await;
        let artifacts = lab.samples(2);
        lab.lims.fault(FaultRule::once("POST", "route/artifacts", trouble.clone()));
        let to = lab.exporter.refuse(&artifacts[0], &fault(), false).await.unwrap();
        assert_eq!(to, "to stage 6603 of workflow 751");
        assert_eq!(
            (lab.lims.queued(), lab.lims.queued_for(FAILED)),
            (vec![artifacts[1].clone()], vec![artifacts[0].clone()])
        );
        assert!(lab.field(&artifacts[0]).unwrap().contains("prøven «æøå»"));
        // Asked again: it is found there.
        assert_eq!(lab.exporter.refuse(&artifacts[0], &fault(), true).await.unwrap(), to);
        assert_eq!(lab.count("POST", "route/artifacts"), 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn one_that_left_by_itself_is_left_alone_and_an_earlier_failure_is_not_taken_for_this_one() {
    let lab = Lab::new(server(false), ROUTE).await;
    let artifacts = lab.samples(1);
    assert!(lab.lims.withdraw(&artifacts[0]));
    let to = lab.exporter.refuse(&artifacts[0], &fault(), false).await.unwrap();
    assert!(to.starts_with("nowhere") && lab.field(&artifacts[0]).is_none(), "{to}");
    assert_eq!(lab.count("POST", "route/artifacts"), 0);
    // It was at the failure stage once, was dealt with there, and is queued anew.
    lab.lims.enqueue(&artifacts[0]).unwrap();
    lab.exporter.refuse(&artifacts[0], &fault(), false).await.unwrap();
    let out = lab.exporter.client.route(&[LimsId::new(&artifacts[0]).unwrap()], &[751], (751, 6601)).await;
    out.unwrap();
    assert_eq!(lab.lims.queued(), artifacts);
    lab.exporter.refuse(&artifacts[0], &fault(), false).await.unwrap();
    assert_eq!(lab.lims.queued_for(FAILED), artifacts);
    assert_eq!(lab.count("POST", "route/artifacts"), 3);
}

#[tokio::test]
async fn what_the_lims_refuses_is_said_in_its_words() {
    let lab = Lab::new(server(false), &[ROUTE, &[("LIMS__FAILURE_FIELD", "No such field")]].concat()).await;
    let why = said(lab.exporter.refuse(&lab.samples(1)[0], &fault(), false).await.unwrap_err());
    assert!(why.ends_with("with 400: UDF \"No such field\" is not configured"), "{why}");
    assert_eq!(lab.lims.queued().len(), 1);
}
