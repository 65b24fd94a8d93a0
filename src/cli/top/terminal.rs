//! The terminal: taken over, and given back as it was however this ends: by a key, an error, a panic or a signal.
use std::io::{self, Stdout};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A terminal that does not take what is written keeps nobody longer from ending.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether it is ours at present.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, while it is ours.
pub(super) struct Screen {
    /// Never dropped: it would tell a terminal that has gone that its cursor cannot be shown, and panic over that. The guard shows it.
    pub(super) terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
}

impl Screen {
    /// Takes it over.
    pub(super) fn take() -> io::Result<Self> {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            previous(info);
        }));
        enter()?;
        Ok(Self { terminal: ManuallyDrop::new(Terminal::new(CrosstermBackend::new(io::stdout()))?) })
    }

    /// Stops this process until somebody has it go on, as every program does at Ctrl-Z.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::TSTP)?;
        enter()?;
        self.redraw()
    }

    /// Draws everything anew with the next picture. (The library's own `clear` asks the terminal where the cursor is, and waits for an
    /// answer that whoever reads the keys takes away.)
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(io::stdout()))?);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen));
    if taken.is_err() {
        give_back();
    }
    taken
}

/// Once. Nothing more can be done where it fails: the terminal has gone.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let written = execute!(io::stdout(), LeaveAlternateScreen, Show);
        drop(disable_raw_mode().and(written));
    }
}

/// Sends the number of the first signal that wants an end. Whoever does not end within [`PATIENCE`] is ended: a terminal that takes
/// nothing (a connection that broke) would hold the writing for ever.
pub(super) fn hear_signals(home: mpsc::Sender<i32>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let hook = |kind| {
        let _inside = runtime.enter();
        signal(kind)
    };
    let (mut term, mut hup, mut int) =
        (hook(SignalKind::terminate())?, hook(SignalKind::hangup())?, hook(SignalKind::interrupt())?);
    let wait = move || {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => SignalKind::terminate(),
                _ = hup.recv() => SignalKind::hangup(),
                _ = int.recv() => SignalKind::interrupt(),
            }
        });
        let number = number.as_raw_value();
        let _sent = home.try_send(number); // who does not take it is ended below
        std::thread::sleep(PATIENCE);
        std::process::exit(128 + number);
    };
    drop(std::thread::Builder::new().name("top-signals".into()).spawn(wait)?);
    Ok(())
}
