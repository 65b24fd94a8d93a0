use crossterm::event::KeyCode;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::cli::top::model::Input;
use crate::cli::top::night::{at, beat, night, press, why};
use crate::present::Filter;

const PLAIN: Paint = Paint { colour: false };

fn drawn(model: &Model, paint: Paint) -> Buffer {
    let (width, height) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let _drawn = terminal.draw(|frame| draw(model, paint, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buf: &Buffer) -> Vec<String> {
    let width = usize::from(buf.area.width);
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    buf.content.chunks(width).map(|cells| row(cells).trim_end().to_owned()).collect()
}

fn screen(model: &Model) -> String {
    lines(&drawn(model, PLAIN)).join("\n")
}

/// Two screens that are kept as they are.
fn kept(name: &str, screen: &str) {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/top/view").join(name);
    if std::env::var_os("TSD_IMPORT_PICTURES").is_some() {
        crate::fs::write_volatile(&place, format!("{screen}\n").as_bytes()).unwrap();
    }
    let before = std::fs::read_to_string(&place).unwrap();
    assert_eq!(
        before.trim_end(),
        screen.trim_end(),
        "{name}: if it is meant, TSD_IMPORT_PICTURES=1 keeps it"
    );
}

#[test]
fn the_screens_that_are_kept() {
    kept("night-80x24.txt", &screen(&night((80, 24), 20)));
    kept("night-120x40.txt", &screen(&night((120, 40), 20)));
    kept("night-60x15.txt", &screen(&night((60, 15), 20)));
}

#[test]
fn a_window_that_is_too_small_says_what_it_needs() {
    let mut model = night((80, 24), 20);
    for size in [(50, 10), (59, 40), (200, 14), (20, 3), (1, 1)] {
        assert!(model.update(Input::Resized(size.0, size.1)).is_empty());
        let said = screen(&model);
        if size.0 >= 28 && size.1 >= 2 {
            assert!(
                said.contains(&format!("This window is {} × {}.\ntop needs 60 × 15.", size.0, size.1)),
                "{said}"
            );
        }
        assert!(!said.contains("packages"), "{said}");
    }
    kept("night-50x10.txt", &screen(&night((50, 10), 20)));
}

#[test]
fn any_size_is_drawn_and_no_name_is_cut_without_a_sign() {
    let mut model = night((80, 24), 20);
    for width in 60..140 {
        for height in [15, 16, 24, 57] {
            assert!(model.update(Input::Resized(width, height)).is_empty());
            let said = screen(&model);
            let row =
                |line: &&str| line.contains("samples/") && !line.contains(" by ") && !line.starts_with('!');
            let rows = said.lines().filter(row);
            for row in rows.filter(|row| !row.contains("failed at")) {
                let name = row.split(' ').find(|word| word.contains("samples/")).unwrap();
                assert!(name.ends_with("/r1") || name.contains('…'), "{width}×{height}: {row}");
            }
            assert_eq!(said.lines().next().unwrap().split(' ').next(), Some("nsc"), "{said}");
        }
    }
}

#[test]
fn why_stands_before_the_rest_and_the_help_names_every_key() {
    let mut model = night((80, 24), 20);
    let asked = press(&mut model, KeyCode::Char('w'));
    assert!(screen(&model).contains("asking …") && !asked.is_empty());
    let package = model.rows()[0].package.clone();
    why(&mut model, 20, package.clone());
    let said = screen(&model);
    for expected in [&format!(" why {package} ")[..], "waits for", "its way (", "what to do"] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    assert!(press(&mut model, KeyCode::Esc).is_empty() && press(&mut model, KeyCode::Char('?')).is_empty());
    for size in [(60, 15), (80, 24), (120, 40)] {
        assert!(model.update(Input::Resized(size.0, size.1)).is_empty());
        let mut said = screen(&model);
        for _ in 0..9 {
            assert!(press(&mut model, KeyCode::PageDown).is_empty());
            said = format!("{said}\n{}", screen(&model));
        }
        for (key, ..) in KEYS {
            assert!(said.lines().any(|line| line.contains(&format!("│ {key} "))), "{key}\n{said}");
        }
        (0..9).for_each(|_| drop(press(&mut model, KeyCode::PageUp)));
    }
}

fn first(model: &Model) -> String {
    screen(model).lines().next().unwrap().to_owned()
}

fn take(model: &mut Model, secs: i64, up: bool) {
    let beat = beat(secs, 20, up, model.filter());
    assert!(model.update(Input::Tick(at(secs))).is_empty());
    assert!(model.update(Input::Beat(Box::new(beat))).is_empty());
}

#[test]
fn the_first_line_tells_how_the_daemon_is() {
    let mut model = night((110, 24), 20);
    assert!(
        first(&model).starts_with("nsc on gdx-login: runs for 3h20, 5 under way, 340.0 MiB/s (0.1.0)"),
        "{}",
        first(&model)
    );
    take(&mut model, 12, false);
    let down =
        format!("NOT RUNNING; from the journal; no answer since {} (12s ago)", at(0).strftime("%H:%M:%SZ"));
    assert!(first(&model).contains(&down), "{}", first(&model));
    assert!(screen(&model).contains("no daemon says what they do"));
    // Nobody answers at all any more, not even the disk.
    assert!(model.update(Input::Tick(at(40))).is_empty());
    assert!(
        first(&model).contains("NO ANSWER since")
            && first(&model).contains("is the disk of the state directory alive?"),
        "{}",
        first(&model)
    );
    take(&mut model, 41, true);
    assert!(first(&model).contains("runs for"));
    // It runs by its files, and does not answer.
    let mut deaf = beat(42, 20, true, model.filter());
    deaf.instead = Some(Some("the control socket belongs to root".into()));
    assert!(model.update(Input::Beat(Box::new(deaf))).is_empty());
    assert!(
        first(&model).contains("NO ANSWER: the control socket belongs to root; from the journal"),
        "{}",
        first(&model)
    );
    let nothing = Model::new((80, 24), at(0));
    assert!(first(&nothing).starts_with("asking …") && screen(&nothing).contains("packages"));
    assert!(press(&mut model, KeyCode::Char('p')).is_empty());
    take(&mut model, 50, false);
    let said = screen(&model);
    assert!(said.contains("PAUSED: as it was at") && said.contains("NOT RUNNING"), "{said}");
    assert!(said.contains("uploader  busy"), "{said}");
}

#[test]
fn colours_are_beside_the_words() {
    let model = night((100, 30), 20);
    let (plain, coloured) = (drawn(&model, PLAIN), drawn(&model, Paint { colour: true }));
    assert_eq!(lines(&plain), lines(&coloured));
    let coloured_cells =
        |buf: &Buffer| buf.content.iter().filter(|c| c.fg != ratatui::style::Color::Reset).count();
    assert!(coloured_cells(&plain) == 0 && coloured_cells(&coloured) > 20);
}

#[test]
fn a_long_list_says_how_to_find_what_it_does_not_show() {
    let mut model = night((80, 24), 20);
    let mut many = beat(1, 20, true, Filter { limit: Some(500), ..Filter::default() });
    if let Ok((_, list)) = &mut many.answer {
        (list.fit, list.known) = (10_234, 10_234);
    }
    assert!(model.update(Input::Beat(Box::new(many))).is_empty());
    assert!(
        screen(&model).contains("packages 10,234: all; the newest 500: / finds others"),
        "{}",
        screen(&model)
    );
    assert!(press(&mut model, KeyCode::Char('/')).is_empty());
    let _asked = press(&mut model, KeyCode::Char('æ'));
    let said = screen(&model);
    assert!(said.contains(", with \"æ\"") && said.contains("/æ▏") && said.contains(" …"), "{said}");
}

/// The picture of the README is what the program draws.
#[test]
fn the_picture() {
    let mut model = night((96, 28), 20);
    assert!(press(&mut model, KeyCode::Down).is_empty());
    let svg = picture(&drawn(&model, Paint { colour: true }));
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures/top.svg");
    if std::env::var_os("TSD_IMPORT_PICTURES").is_some() {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        crate::fs::write_volatile(&place, svg.as_bytes()).unwrap();
    }
    assert!(std::fs::read_to_string(&place).unwrap() == svg, "TSD_IMPORT_PICTURES=1 draws it anew");
}

fn picture(buf: &Buffer) -> String {
    use ratatui::style::Color;
    use std::fmt::Write;
    let (cell, line, margin) = (8.4, 18.0, 12.0);
    let (width, height) =
        (f64::from(buf.area.width) * cell + 2.0 * margin, f64::from(buf.area.height) * line + 2.0 * margin);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\">\n<title>tsd-import top</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n"
    );
    let columns = usize::from(buf.area.width);
    for (y, cells) in buf.content.chunks(columns).enumerate() {
        for run in
            cells.iter().enumerate().collect::<Vec<_>>().chunk_by(|(_, a), (_, b)| a.style() == b.style())
        {
            let (x, first) = run[0];
            let text: String = run.iter().map(|(_, cell)| cell.symbol()).collect();
            let around = first.modifier.contains(Modifier::REVERSED);
            if text.trim().is_empty() && !around {
                continue;
            }
            let ink = match (around, first.fg) {
                (true, _) => "#16181d",
                (_, Color::Green) => "#7ec699",
                (_, Color::Red) => "#ff7b72",
                (_, Color::Yellow) => "#e3b341",
                _ if first.modifier.contains(Modifier::DIM) => "#8b93a1",
                _ => "#e6e6e6",
            };
            let (left, top) = (margin + x as f64 * cell, margin + y as f64 * line);
            let long = run.len() as f64 * cell;
            if around {
                writeln!(svg, "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{long:.1}\" height=\"{line}\" fill=\"#d0d4dc\"/>").unwrap();
            }
            let bold = if first.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            writeln!(svg, "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{long:.1}\" xml:space=\"preserve\" fill=\"{ink}\"{bold}>{text}</text>", top + 13.5).unwrap();
        }
    }
    svg + "</svg>\n"
}

#[test]
fn an_act_asks_for_its_reason_and_shows_what_became_of_it() {
    let mut model = night((80, 24), 20);
    assert!(press(&mut model, KeyCode::Char('h')).is_empty());
    let last = |model: &Model| screen(model).lines().last().unwrap().to_owned();
    assert!(last(&model).starts_with("hold samples/Diag-wgs201-HG20150462/r1; why? ▏"), "{}", last(&model));
    "somebody asked the laboratory whether this is the right one"
        .chars()
        .for_each(|c| drop(press(&mut model, KeyCode::Char(c))));
    assert!(
        last(&model).ends_with("this is the right one▏") && last(&model).starts_with("hold "),
        "{}",
        last(&model)
    );
    assert_eq!(press(&mut model, KeyCode::Enter).len(), 1);
    assert!(screen(&model).contains("the daemon is asked …"));
    let said = vec!["! refused: it is being put in place".to_owned(), "what to do: wait ".repeat(20)];
    let _asked = model.update(Input::Acted(said));
    let said = screen(&model);
    assert!(
        said.contains("! refused: it is being put in place") && said.contains(" hold samples/"),
        "{said}"
    );
}
