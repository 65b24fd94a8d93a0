//! tsd-import
#![forbid(unsafe_code)]
#[cfg(not(panic = "unwind"))]
compile_error!("the supervisor catches panics: build with panic = \"unwind\"");

pub mod clock;
pub mod fs;
pub mod journal;
pub mod package;
pub mod pool;
pub mod supervisor;
pub mod conf;
pub mod secret;
pub mod store;
pub mod blame;
pub mod clarity;
pub mod demo;
pub mod notices;
pub mod nsc;
pub mod signature;
pub mod tsd;
