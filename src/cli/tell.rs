//! `tell --test`: does a message get through?
use clap::Args;

use super::exit::say;
use super::{ConfArgs, Exit};
use crate::clock;
use crate::conf::ChannelConf;
use crate::tell::letter::{Letter, Speaker};
use crate::tell::memory::{Kind, News};
use crate::tell::send::{Files, send};
use crate::tell::trouble::Level;

/// Options of `tell`.
#[derive(Args, Debug, Clone)]
pub struct TellArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// Send a test message through this channel, or through all
    #[arg(long, required = true, num_args = 0..=1, default_missing_value = "", value_name = "CHANNEL")]
    test: String,
}

/// Sends and says what became of it.
pub fn tell(args: &TellArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let wanted = |channel: &&ChannelConf| args.test.is_empty() || channel.name == args.test;
    let channels: Vec<&ChannelConf> = conf.tell.channels.iter().filter(wanted).collect();
    if channels.is_empty() {
        let names: Vec<&str> = conf.tell.channels.iter().map(|channel| channel.name.as_str()).collect();
        let there = if names.is_empty() {
            "none is configured".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        return Err(Exit::config(format!(
            "there is no channel {:?}: {there} ([tell.channel.NAME])",
            args.test
        )));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| Exit::temporary(format!("could not start: {e}")))?;
    let speaker = Speaker { role: conf.role.to_string(), host: conf.host.to_string() };
    let mut failed = 0;
    for channel in &channels {
        let (at, what) = (
            clock::now(),
            format!("this is a test of the channel {}: nothing is out of order", channel.name),
        );
        let news =
            [News { at, kind: Kind::Test, level: Level::Notice, what, about: None, since: at, times: 1 }];
        let letter = Letter::compose(&speaker, news.iter(), 0, None, at);
        let sent = runtime.block_on(send(channel, &letter, &Files::default()));
        let (name, kind) = (&channel.name, channel.via.word());
        match sent {
            Ok(()) => say(format_args!("{name} ({kind}): taken"))?,
            Err(why) => {
                failed += 1;
                say(format_args!("{name} ({kind}): NOT SENT: {why}"))?;
            }
        }
    }
    // A file on a disk that hangs must not keep us.
    runtime.shutdown_background();
    match failed {
        0 => Ok(()),
        _ => Err(Exit::no(format!("{failed} of {} channel(s) did not take the message", channels.len()))),
    }
}
