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
                    aws_smithy_runtime_api=warn,aws_smithy_http_client=warn,aws_sdk_s3=warn,aws_runtime=warn,aws_sigv4=warn";

fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = |e| format!("log.level {level:?} is no level or filter: {e}");
    EnvFilter::try_new(format!("{level},{HELD}")).map_err(wrong)
}

/// Starts logging of a daemon. Keep the guard until the end: dropping it writes out what is still in memory.
pub fn start(conf: &LogConf) -> Result<WorkerGuard, String> {
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
    let json = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    let json = json.with_timer(Utc).with_writer(file).with_filter(filter(&conf.level)?);
    let plain =
        fmt::layer().with_timer(Utc).with_target(false).with_ansi(colours()).with_writer(std::io::stderr);
    let plain = plain.with_filter(filter(&conf.level)?);
    let started = tracing_subscriber::registry().with(json).with(plain).try_init();
    started.map_err(|e| format!("logging was started twice: {e}"))?;
    Ok(guard)
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
            assert!(filter(good).is_ok(), "{good}");
        }
        assert!(filter("tsd_import=loud").unwrap_err().contains("log.level"));
    }
}
