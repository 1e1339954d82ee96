//! The network protocol, version 1: messages, clients and servers, made from `schema/backsight/v1`.
//!
//! Nothing here is checked; `wire` makes types of `core` of it, or says what is wrong.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, reason = "generated")]

tonic::include_proto!("backsight.v1");

/// The version of the protocol, which both sides say first.
pub const PROTOCOL: u32 = 1;
