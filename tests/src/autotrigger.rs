//! What autotriggers are measured with: streams of values and labels, a model of the published ones, and what a sample costs on each.
//!
//! Called by `rec-autotrigger`.

pub mod cost;
pub mod firing;
pub mod input;
pub mod model;
