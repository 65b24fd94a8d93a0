//! demo
pub mod lims;
pub mod reads;
pub mod store;
