//! `status`: what is going on, on one screen, from the journal and the daemon's last snapshot.
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use console::Term;

use super::ConfArgs;
use super::ask::{self, Asked};
use super::exit::{Exit, show};
use crate::present::{Look, StatusAnswer};

/// Options of `status`.
#[derive(Args, Debug, Clone)]
pub struct StatusArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Again and again, until Ctrl-C; without a terminal each time as a new block
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// How often, with --watch
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval, requires = "watch")]
    interval: Duration,
}

/// Long lists are cut here, for a person and for a program.
const SCREEN: usize = 10;
const JSON: usize = 1000;

fn interval(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("{text:?} is no time such as 2s or 1min"))?;
    let time = Duration::try_from(span).map_err(|_| "it must not be negative".to_owned())?;
    let good = (Duration::from_millis(200)..=Duration::from_secs(86_400)).contains(&time);
    good.then_some(time).ok_or_else(|| "it must lie between 200ms and 24h".to_owned())
}

/// Prints the present. Exit code 1 if the daemon does not run or hangs.
pub fn status(args: &StatusArgs) -> Result<(), Exit> {
    let mut asked = Asked::of(&args.conf)?;
    if args.watch {
        return watch(&mut asked, args.interval);
    }
    let answer = asked.status(if args.json { JSON } else { SCREEN })?;
    if args.json {
        let _read = ask::show_json(&answer)?;
    } else {
        let _read = show(&answer.to_text(ask::look()))?;
    }
    if answer.health.is_alive() { Ok(()) } else { Err(Exit { code: 1, why: String::new() }) }
}

/// Until Ctrl-C, or until nobody reads any more.
fn watch(asked: &mut Asked, every: Duration) -> Result<(), Exit> {
    let no = |e: std::io::Error| Exit::no(format!("could not wait for Ctrl-C: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no)?;
    let terminal = std::io::stdout().is_terminal();
    runtime.block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        let mut first = true;
        loop {
            let answer = asked.status(SCREEN)?;
            let text = if terminal { screen(&answer, ask::look(), first) } else { block(&answer, first) };
            if !show(&text)? {
                return Ok(());
            }
            first = false;
            tokio::select! {
                pressed = &mut interrupted => return pressed.map_err(no),
                () = tokio::time::sleep(every) => {}
            }
        }
    })
}

/// Written over what stands there, line by line and in one go, so that nothing flickers. What has no room is counted.
fn screen(answer: &StatusAnswer, look: Look, first: bool) -> String {
    let rows = Term::stdout().size_checked().map_or(24, |(rows, _)| usize::from(rows)).max(4);
    over(&answer.to_text(look), rows, first)
}

fn over(text: &str, rows: usize, first: bool) -> String {
    const CLEAR_ALL: &str = "\x1b[2J";
    const HOME: &str = "\x1b[H";
    const TO_END_OF_LINE: &str = "\x1b[K";
    const TO_END_OF_SCREEN: &str = "\x1b[J";
    let lines: Vec<&str> = text.lines().collect();
    let room = if lines.len() < rows { lines.len() } else { rows - 2 };
    let mut out = format!("{}{HOME}", if first { CLEAR_ALL } else { "" });
    for line in lines.iter().take(room) {
        out.push_str(line);
        out.push_str(TO_END_OF_LINE);
        out.push_str("\r\n");
    }
    if room < lines.len() {
        let more = lines.len() - room;
        out.push_str(&format!("… {more} more lines: a taller window, or `status`{TO_END_OF_LINE}"));
    }
    out.push_str(TO_END_OF_SCREEN);
    out
}

fn block(answer: &StatusAnswer, first: bool) -> String {
    let gap = if first { "" } else { "\n" };
    format!("{gap}{}\n{}", answer.at, answer.to_text(ask::look()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_never_scrolled() {
        let text = (0..30).map(|n| format!("line {n}\n")).collect::<String>();
        for rows in [4, 10, 30, 31, 50] {
            let shown = over(&text, rows, false);
            assert!(shown.matches("\r\n").count() < rows, "{rows}");
            assert_eq!(shown.contains("more lines"), rows <= 30, "{rows}: {shown:?}");
            assert!(shown.starts_with("\x1b[Hline 0\x1b[K") && shown.ends_with("\x1b[J"));
        }
        assert!(over(&text, 10, true).starts_with("\x1b[2J") && over(&text, 10, false).contains("… 22 more"));
    }

    #[test]
    fn intervals() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        for odd in ["2", "-1s", "0s", "25h", "soon"] {
            assert!(interval(odd).is_err(), "{odd}");
        }
    }
}
