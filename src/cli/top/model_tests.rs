use crossterm::event::KeyCode;

use super::*;
use crate::cli::top::night::{at, beat, id, night, press, why};
use crate::package::State;

fn next(model: &mut Model, secs: i64, packages: u32, up: bool) {
    assert_eq!(model.update(Input::Tick(at(secs))), []);
    let filter = model.filter();
    assert_eq!(model.update(Input::Beat(Box::new(beat(secs, packages, up, filter)))), []);
}

fn selected(model: &Model) -> Option<PackageId> {
    model.cursor().and_then(|at| model.rows().get(at)).map(|row| row.package.clone())
}

#[test]
fn the_cursor_stays_with_its_package_and_where_that_has_gone_with_its_place() {
    let mut model = night((80, 24), 20);
    assert_eq!(model.cursor(), Some(0));
    assert!(press(&mut model, KeyCode::Up).is_empty() && model.cursor() == Some(0));
    for _ in 0..3 {
        assert!(press(&mut model, KeyCode::Char('j')).is_empty());
    }
    let one = selected(&model).unwrap();
    assert_eq!(model.cursor(), Some(3));
    next(&mut model, 1, 24, true);
    assert_eq!(selected(&model), Some(one), "others came before it");
    assert!(model.cursor() > Some(3));
    assert!(press(&mut model, KeyCode::End).is_empty());
    assert_eq!(model.cursor(), Some(23));
    next(&mut model, 2, 12, true);
    assert!(model.cursor() < Some(12), "there are fewer now");
    let before = (model.cursor(), press(&mut model, KeyCode::Up));
    assert!(before.0 > model.cursor() && press(&mut model, KeyCode::Home).is_empty());
    assert_eq!(model.cursor(), Some(0));
}

#[test]
fn what_is_typed_is_asked_for_and_a_late_answer_is_asked_again() {
    let mut model = night((80, 24), 20);
    let old = beat(1, 20, true, model.filter());
    assert!(press(&mut model, KeyCode::Char('/')).is_empty() && model.typing);
    for c in "q?3".chars() {
        assert_eq!(press(&mut model, KeyCode::Char(c)), [Wish::Ask], "a q in a name quits nothing");
    }
    assert_eq!(press(&mut model, KeyCode::Backspace), [Wish::Ask]);
    assert_eq!(model.filter().name.as_deref(), Some("q?"));
    assert_eq!(model.update(Input::Beat(Box::new(old))), [Wish::Ask], "it was asked before");
    let new = beat(2, 20, true, model.filter());
    assert_eq!(model.update(Input::Beat(Box::new(new))), []);
    assert!(model.rows().is_empty() && model.cursor().is_none());
    assert_eq!(press(&mut model, KeyCode::Enter), [], "it stays");
    assert_eq!(press(&mut model, KeyCode::Enter), [], "there is nothing to ask about");
    assert_eq!((press(&mut model, KeyCode::Esc), model.name.as_str()), (vec![Wish::Ask], ""));
    assert_eq!((press(&mut model, KeyCode::Tab), model.filter().moving), (vec![Wish::Ask], true));
    assert_eq!((press(&mut model, KeyCode::Tab), model.filter().stopped), (vec![Wish::Ask], true));
    let stopped = beat(3, 20, true, model.filter());
    assert_eq!(model.update(Input::Beat(Box::new(stopped))), []);
    assert_eq!(model.rows().iter().map(|row| row.state).collect::<Vec<_>>(), [State::Quarantined]);
    model.typing = true;
    (0..1000).for_each(|_| drop(press(&mut model, KeyCode::Char('x'))));
    assert_eq!(model.name.len(), LONGEST);
    assert_eq!(
        model.update(Input::Key(KeyEvent::new(KeyCode::Char('c'), crossterm::event::KeyModifiers::CONTROL))),
        [Wish::Quit]
    );
}

#[test]
fn why_is_asked_again_while_somebody_looks_and_scrolls_no_further_than_its_end() {
    let mut model = night((80, 24), 20);
    let one = selected(&model).unwrap();
    assert_eq!(press(&mut model, KeyCode::Enter), [Wish::Why(one.clone())]);
    why(&mut model, 20, id(1));
    assert!(matches!(&model.over, Over::Why { answer: None, .. }), "an answer about another one");
    why(&mut model, 20, one.clone());
    assert_eq!(model.update(Input::Tick(at(1))), [Wish::Why(one.clone())]);
    let scroll = |model: &Model| match &model.over {
        Over::Why { scroll, .. } | Over::Help { scroll } => *scroll,
        _ => panic!("neither stands before the rest"),
    };
    assert!(model.update(Input::Resized(60, 15)).is_empty());
    (0..100).for_each(|_| drop(press(&mut model, KeyCode::PageDown)));
    let end = scroll(&model);
    assert!((1..100).contains(&end), "{end}");
    assert!(press(&mut model, KeyCode::Up).is_empty() && scroll(&model) == end - 1);
    assert!(press(&mut model, KeyCode::Esc).is_empty() && matches!(model.over, Over::Nothing));
    assert_eq!(selected(&model), Some(one), "the cursor did not move below");
    assert!(press(&mut model, KeyCode::Char('?')).is_empty() && scroll(&model) == 0);
    assert!(press(&mut model, KeyCode::Char('?')).is_empty() && matches!(model.over, Over::Nothing));
}

#[test]
fn a_paused_screen_holds_still_and_its_first_line_does_not() {
    let mut model = night((80, 24), 20);
    assert!(press(&mut model, KeyCode::Char('p')).is_empty());
    next(&mut model, 5, 24, false);
    assert_eq!((model.rows().len(), model.paused(), model.moment()), (20, Some(at(0)), at(0)));
    assert!(
        !model.live().unwrap().health.is_alive() && model.data().status.as_ref().unwrap().health.is_alive()
    );
    assert_eq!(press(&mut model, KeyCode::Char('p')), [Wish::Ask]);
    assert_eq!((model.rows().len(), model.paused()), (24, None));
}

#[test]
fn when_the_daemon_answered_last_is_kept_and_an_error_is_not_asked_again_at_once() {
    let mut model = night((80, 24), 20);
    next(&mut model, 1, 20, false);
    next(&mut model, 9, 20, false);
    assert_eq!((model.link.answered, model.link.told), (Some(at(0)), Some(at(9))));
    let mut failed = beat(10, 20, false, Filter::default());
    failed.answer = Err("could not read the journal".into());
    assert_eq!(model.update(Input::Beat(Box::new(failed))), []);
    assert_eq!(model.link.failed.as_deref(), Some("could not read the journal"));
    assert_eq!(model.rows().len(), 20, "what was known stays");
    next(&mut model, 11, 20, true);
    assert_eq!((model.link.failed.as_deref(), model.link.answered), (None, Some(at(11))));
}

#[test]
fn an_act_needs_a_reason_and_goes_to_the_package_that_was_selected() {
    let mut model = night((80, 24), 20);
    assert!(press(&mut model, KeyCode::Down).is_empty());
    let one = selected(&model).unwrap();
    assert_eq!(press(&mut model, KeyCode::Char('h')), []);
    assert_eq!(press(&mut model, KeyCode::Enter), [], "no reason, no act");
    for c in " q? w".chars() {
        assert_eq!(press(&mut model, KeyCode::Char(c)), [], "letters are letters here");
    }
    next(&mut model, 1, 24, true);
    assert_eq!(press(&mut model, KeyCode::Enter), [Wish::Act(Lever::Hold, one.clone(), "q? w".into())]);
    assert_eq!(press(&mut model, KeyCode::Enter), [], "once");
    assert_eq!(model.update(Input::Acted(vec!["it is held".into()])), [Wish::Ask]);
    assert!(matches!(&model.over, Over::Acted { said: Some(said), .. } if said[0] == "it is held"));
    assert!(press(&mut model, KeyCode::Esc).is_empty());
    // From the answer of why, and taken back.
    assert_eq!(press(&mut model, KeyCode::Char('w')), [Wish::Why(one.clone())]);
    assert!(press(&mut model, KeyCode::Char('r')).is_empty());
    assert!(matches!(&model.over, Over::Act { lever: Lever::Release, package, .. } if *package == one));
    assert!(press(&mut model, KeyCode::Char('x')).is_empty() && press(&mut model, KeyCode::Esc).is_empty());
    assert!(matches!(model.over, Over::Nothing));
    let mut empty = Model::new((80, 24), at(0));
    assert!(press(&mut empty, KeyCode::Char('t')).is_empty() && matches!(empty.over, Over::Nothing));
}
