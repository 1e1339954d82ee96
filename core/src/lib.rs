//! The vocabulary of Backsight: ids, records, messages, clocks and limits that every other room speaks.
//!
//! Called by every crate; calls none of ours. It does no IO, reads no clock and has no unsafe code, so each of its functions can be
//! tested as arithmetic.
//!
//! # Glossary
//! - **trace**: everything one request caused, on all hosts, under one 128-bit id.
//! - **span**: a named interval of a trace on one thread or task, with a parent.
//! - **segment**: what one thread wrote for one trace between begin and end (or between attach and detach).
//! - **record**: one entry of a segment: a span start, an attribute, a payload. Byte layout in `docs/spec/shm-abi.md`.
//! - **detail level** of a record: from 0, always recorded, to 3, the first to be shed.
//! - **shed**: left out by the priority of its trace, because the host looks back less far than it should.
//! - **chunk**: a run of 4, 16 or 64 KiB of a region that one thread fills with segments.
//! - **lease**: 64 chunks of one size, handed to a process by the agent.
//! - **region**: the shared memory of one process: leases, thread slots, strings.
//! - **thread slot**: the 4 KiB of a region that belong to one thread: its context, its counters, its signal ring.
//! - **horizon**: the age at which data that nobody asked for is overwritten.
//! - **symptom**, **trigger**: what shows that a trace was worth keeping; the rule that says so, by id.
//! - **expression**: the text of a trigger that an agent fires by itself, for spans that are as the text says ([`expr`]).
//! - **back-test**: holding an expression against what is retained, without keeping anything.
//! - **name** of a trigger: the text whose hash is the trigger's id; people read it where it is known, else the id.
//! - **laterals**: other traces collected with the symptomatic one.
//! - **crumb** (breadcrumb): the id of an agent, left where a request came from or went to.
//! - **kept**: copied out of the retention because a trigger fired, until a collector has it.
//! - **holding**: what one host says that it has of one trace.
//! - **group**: a symptomatic trace and its laterals, followed from host to host by the coordinator.
//! - **coordinator**: who follows crumbs from agent to agent, and asks each for its part.
//! - **certificate**: what a stored trace says about its own completeness.
//! - **flat span**: a span, or a visit that stands for one, as others know spans ([`flat`]).
//! - **row**: a span as the read side computes with it: ids, times, label, host ([`columns`]).
//! - **label**: service, operation and kind of a span; a **label path** leads from the root down to it, repetitions folded.
//! - **critical path**: to which span each nanosecond of a trace's root belongs ([`critical`]).
//! - **alignment**: which span of one trace is which of another ([`align`]).
//! - **sketch**: how often values came, in log-linear buckets that merge by addition ([`mod@sketch`]).
//! - **skew**: by how much the clocks of two hosts disagree ([`skew`]).
//! - **drop**: a record, signal or trace that was given up; always counted, with a [`telemetry::DropReason`].
#![forbid(unsafe_code)]

pub mod align;
pub mod cause;
pub mod certificate;
pub mod checksum;
pub mod clock;
pub mod columns;
pub mod compare;
pub mod context;
pub mod coordination;
pub mod critical;
pub mod expr;
pub mod flat;
pub mod holding;
pub mod ids;
pub mod leb128;
pub mod loglinear;
pub mod names;
pub mod priority;
pub mod quoted;
pub mod record;
pub mod segment;
pub mod session;
pub mod shard;
pub mod sketch;
pub mod skew;
pub mod sync;
pub mod telemetry;
pub mod trace;
pub mod units;
