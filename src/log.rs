//! Logging: JSON lines into one file a day, readable lines on stderr.
//!
//! Levels say who must act: ERROR, a person; WARN, it went on but was odd; INFO, something moved. The transport libraries are
//! held at WARN, because at DEBUG they write whole requests, and a token must not get into a log.
use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::clock;
use crate::conf::LogConf;

/// Log files are called `tsd-import.YYYY-MM-DD.jsonl`.
pub const PREFIX: &str = "tsd-import";
/// Their ending.
pub const SUFFIX: &str = "jsonl";

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{:.3}", clock::now()) // always three digits, so that lines stay aligned
    }
}

/// What a filter may never let through, whatever the level.
const HELD: &str = "s3s=off,hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn,h2=warn,aws_smithy_runtime=warn,\
                    aws_smithy_runtime_api=warn,aws_sdk_s3=warn,aws_runtime=warn,aws_sigv4=warn";

fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = |e| format!("log.level {level:?} is no level or filter: {e}");
    EnvFilter::try_new(format!("{level},{HELD}")).map_err(wrong)
}

/// Whether this can be `log.level`.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

type Swap = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// Changes the level of the running log.
pub struct Level(Vec<Swap>);

impl Level {
    /// From now on this level or filter counts, in the file and on stderr.
    pub fn set(&self, level: &str) -> Result<(), String> {
        for swap in &self.0 {
            swap(filter(level)?).map_err(|e| format!("could not change the level of the log: {e}"))?;
        }
        Ok(())
    }
}

fn swap<S: 'static>(handle: Handle<EnvFilter, S>) -> Swap {
    Box::new(move |filter| handle.reload(filter))
}

/// Starts logging of a daemon. Keep the guard until the end: dropping it writes out what is still in memory.
pub fn start(conf: &LogConf) -> Result<(WorkerGuard, Level), String> {
    crate::fs::create_dir(&conf.dir).map_err(|e| crate::chain(&e))?;
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(PREFIX)
        .filename_suffix(SUFFIX)
        .max_log_files(conf.keep_days)
        .build(&conf.dir)
        .map_err(|e| format!("could not write logs to {}: {e}", conf.dir.display()))?;
    // Not lossy: a log that drops lines under load lacks just those that matter.
    let (file, guard) = NonBlockingBuilder::default().lossy(false).finish(appender);
    let (for_file, file_level) = reload::Layer::new(filter(&conf.level)?);
    let (for_stderr, stderr_level) = reload::Layer::new(filter(&conf.level)?);
    let json = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    let json = json.with_timer(Utc).with_writer(file).with_filter(for_file);
    let plain =
        fmt::layer().with_timer(Utc).with_target(false).with_ansi(colours()).with_writer(std::io::stderr);
    let plain = plain.with_filter(for_stderr);
    let started = tracing_subscriber::registry().with(json).with(plain).try_init();
    started.map_err(|e| format!("logging was started twice: {e}"))?;
    Ok((guard, Level(vec![swap(file_level), swap(stderr_level)])))
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_accepted_and_rubbish_is_not() {
        for good in ["info", "debug", "warn,tsd_import::nsc=debug"] {
            assert!(check_level(good).is_ok(), "{good}");
        }
        assert!(check_level("tsd_import=loud").unwrap_err().contains("log.level"));
    }

    #[test]
    fn the_level_changes_while_the_log_is_open() {
        use std::io::Write;
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let written = lines.clone();
        let (filtered, handle) = reload::Layer::new(filter("warn").unwrap());
        let layer = fmt::layer().with_writer(move || lines.clone()).with_filter(filtered);
        let level = Level(vec![swap(handle)]);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!("one");
            level.set("info").unwrap();
            tracing::info!("two");
            assert!(level.set("loud=loud").is_err(), "and what is no level changes nothing");
            tracing::info!("three");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!([text.contains("one"), text.contains("two"), text.contains("three")], [false, true, true]);
    }
}
