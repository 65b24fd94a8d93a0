//! `top`: what is going on, on a screen that lives.
//!
//! ```text
//! keys, size ───────────────┐
//! daemon │ state directory ─┤ (asking, a thread)     ┌─→ view: model → cells
//! /v1/events ───────────────┤ (sse, a thread)   → Input → model ─→ Wish → this loop
//! clock, signals ───────────┘
//! ```
//! Model and view are pure. Whatever hangs (daemon, disk, terminal) hangs on a thread of its own, and the screen says so.
mod act;
mod asking;
mod flow;
mod keys;
mod model;
#[cfg(test)]
mod night;
mod paint;
mod sse;
mod tail;
mod terminal;
mod view;
mod why;

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::ConfArgs;
use super::ask;
use super::exit::Exit;
use crate::clock;
use crate::conf::Conf;
use asking::{Asker, Question};
use model::{Input, Model, Wish};
use paint::Paint;
use terminal::Screen;

/// Options of `top`.
#[derive(Args, Debug, Clone)]
pub struct TopArgs {
    #[command(flatten)]
    conf: ConfArgs,
}

/// Between two questions, and between two looks at the clock.
const EVERY: Duration = Duration::from_secs(1);
/// Between two pictures at least: a burst of events is one picture.
const PICTURE: Duration = Duration::from_millis(30);
/// Inputs that wait; more, and their senders wait.
const WAITING: usize = 256;

/// Shows it until somebody leaves.
pub fn top(args: &TopArgs) -> Result<(), Exit> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let why = "top needs a terminal, for its screen and for its keys; `tsd-import status --watch` tells the same line by line, \
            also into a file or a pipe";
        return Err(Exit { code: 2, why: why.into() });
    }
    let conf = args.conf.load()?;
    let no = |what: &str| {
        let what = what.to_owned();
        move |e: io::Error| Exit::no(format!("could not {what}: {e}"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(no("start a runtime"))?;
    let (home, inputs) = mpsc::channel(WAITING);
    let (ending, signals) = mpsc::channel(1);
    terminal::hear_signals(ending).map_err(no("listen to signals"))?;
    sse::start(conf.control.socket.clone(), home.clone()).map_err(no("start a thread"))?;
    let asker = Asker::start(conf.clone(), home.clone()).map_err(no("start a thread"))?;
    let paint = Paint { colour: ask::look().colour };
    let screen = Screen::take().map_err(no("take over the terminal"))?;
    let levers = (conf, home);
    let ended = runtime.block_on(live(screen, paint, (&asker, &levers), inputs, signals));
    // The screen is given back: now something can be said.
    match ended {
        Ok(0) => Ok(()),
        Ok(signal) => Err(Exit { code: u8::try_from(128 + signal).unwrap_or(1), why: String::new() }),
        Err(e) => Err(Exit::no(format!("top ended: {e}"))),
    }
}

/// Until somebody leaves (0) or a signal comes (its number). The screen is given back at the end.
async fn live(
    mut screen: Screen,
    paint: Paint,
    (asker, levers): (&Asker, &(Conf, mpsc::Sender<Input>)),
    mut inputs: mpsc::Receiver<Input>,
    mut signals: mpsc::Receiver<i32>,
) -> io::Result<i32> {
    let size = screen.terminal.size()?;
    let mut model = Model::new((size.width, size.height), clock::now());
    let mut keys = EventStream::new();
    let mut second = tokio::time::interval(EVERY);
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let _drawn =
            screen.terminal.draw(|frame| view::draw(&model, paint, frame.area(), frame.buffer_mut()))?;
        fail::fail_point!("top-drawn");
        let mut some = tokio::select! {
            biased;
            signal = signals.recv() => return Ok(signal.unwrap_or(0)),
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) => vec![Input::Key(key)],
                Some(Ok(Event::Resize(columns, rows))) => vec![Input::Resized(columns, rows)],
                Some(Ok(_)) => Vec::new(),
                Some(Err(e)) => return Err(e),
                None => return Err(io::Error::other("no more keys come")),
            },
            _ = second.tick() => {
                asker.ask(Question::Beat(clock::now(), model.filter()))?;
                vec![Input::Tick(clock::now())]
            }
            input = inputs.recv() => {
                let first = input.ok_or_else(|| io::Error::other("nobody answers any more"))?;
                tokio::time::sleep(PICTURE).await;
                vec![first]
            }
        };
        while some.len() < WAITING
            && let Ok(more) = inputs.try_recv()
        {
            some.push(more);
        }
        for wish in some.into_iter().flat_map(|input| model.update(input)).collect::<Vec<_>>() {
            match wish {
                Wish::Quit => return Ok(0),
                Wish::Suspend => screen.suspend()?,
                Wish::Redraw => screen.redraw()?,
                Wish::Ask => asker.ask(Question::Beat(clock::now(), model.filter()))?,
                Wish::Act(lever, package, reason) => {
                    let (conf, home) = levers.clone();
                    act::start(conf, (lever, package, reason), clock::now(), home)?;
                }
                Wish::Why(package) => asker.ask(Question::Why(package))?,
            }
        }
    }
}
