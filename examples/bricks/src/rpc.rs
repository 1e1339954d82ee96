//! The generated messages, client and server of `schema/bricks.proto`.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

tonic::include_proto!("bricks");
