//! Trace context on the wire: what a request brings along, what the next one takes along, and answers.

use crate::text;
use backsight_client::{Call, Connection, Context, Others, extract, inject, response_crumb};
use backsight_core::context::RESPONSE_BYTES_MAX;
use std::ffi::c_char;

/// What a request brought along.
#[repr(C)]
pub struct bks_incoming {
    context: Context,
    /// The `tracestate` to pass on, our own member included or not; null for none.
    tracestate: *const c_char,
    tracestate_bytes: u64,
}

/// The headers of a request that goes out; texts end in NUL.
#[repr(C)]
pub struct bks_outgoing {
    call: Call,
    tracestate_bytes: u32,
    reserved: u32,
    traceparent: [u8; 56],
    tracestate: [u8; 520],
}

const _: () = assert!(size_of::<bks_incoming>() == 88 && size_of::<bks_outgoing>() == 616);

/// Reads the headers of a request and writes what it brought to `out`; returns whether it brought a trace: otherwise it begins one.
///
/// # Safety
/// `traceparent` and `tracestate` are null or point to as many bytes as is said; `out` is null or points to a `bks_incoming`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_extract(
    traceparent: *const c_char,
    traceparent_bytes: usize,
    tracestate: *const c_char,
    tracestate_bytes: usize,
    out: *mut bks_incoming,
) -> i32 {
    // SAFETY: the caller's contract is the same.
    let parent = unsafe { text::bytes(traceparent.cast(), traceparent_bytes) };
    // SAFETY: as above.
    let state = unsafe { text::bytes(tracestate.cast(), tracestate_bytes) };
    let incoming = extract(Some(parent), Some(state));
    let is_traced = !incoming.context.span.is_none(); // a trace that begins here has no calling span
    let passes_on = is_traced && !state.is_empty();
    let (tracestate, bytes) = if passes_on { (tracestate, state.len()) } else { (std::ptr::null(), 0) };
    if !out.is_null() {
        let incoming = bks_incoming { context: incoming.context, tracestate, tracestate_bytes: bytes as u64 };
        // SAFETY: not null, so valid, says the caller.
        unsafe { out.write(incoming) };
    }
    i32::from(is_traced)
}

/// Writes the headers of a request that the calling thread sends to `out`, and records that it goes out; returns whether there is a trace.
///
/// # Safety
/// `request` is null or points to a `bks_incoming` whose `tracestate` is null or points to `tracestate_bytes` bytes; `peer` is null or
/// points to a `bks_connection` that lives during the call; `out` is null or points to a `bks_outgoing`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_inject(
    request: *const bks_incoming,
    peer: *const Connection,
    out: *mut bks_outgoing,
) -> i32 {
    // SAFETY: null, or valid, says the caller.
    let Some(out) = (unsafe { out.as_mut() }) else { return 0 };
    let (nobody, none) = (Connection::new(), Context::default());
    // SAFETY: null, or valid, says the caller; an atomic word, so shared.
    let peer = unsafe { peer.as_ref() }.unwrap_or(&nobody);
    // SAFETY: null, or valid, says the caller.
    let request = unsafe { request.as_ref() };
    let state = request.map_or(&b""[..], |request| {
        // SAFETY: null, or as many bytes as it says, says the caller.
        unsafe { text::bytes(request.tracestate.cast(), request.tracestate_bytes as usize) }
    });
    let context = request.map_or(&none, |request| &request.context);
    let outgoing = inject(context, Others::of(state), peer);
    let (parent, state) = (outgoing.traceparent().as_bytes(), outgoing.tracestate().as_bytes());
    out.call = outgoing.call;
    out.reserved = 0;
    out.tracestate_bytes = put_text(&mut out.tracestate, state);
    i32::from(put_text(&mut out.traceparent, parent) > 0)
}

/// Says that the call of a `bks_outgoing` was answered, with the value of the response's header `backsight-crumb`, null for none.
///
/// # Safety
/// `call` is null or points to a `bks_call`; `header` is null or points to `n_bytes` bytes; `peer` is null or points to a `bks_connection`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_crumb(call: *const Call, header: *const c_char, n_bytes: usize, peer: *const Connection) {
    let nobody = Connection::new();
    // SAFETY: null, or valid, says the caller; an atomic word, so shared.
    let peer = unsafe { peer.as_ref() }.unwrap_or(&nobody);
    // SAFETY: the caller's contract is the same.
    let header = unsafe { text::bytes(header.cast(), n_bytes) };
    // SAFETY: null, or valid, says the caller.
    if let Some(call) = unsafe { call.as_ref() } {
        call.answered(Some(header), peer);
    }
}

/// Says that the request of a call never left: nobody can have seen it.
///
/// # Safety
/// `call` is null or points to a `bks_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_unsent(call: *const Call) {
    // SAFETY: null, or valid, says the caller.
    if let Some(call) = unsafe { call.as_ref() } {
        call.unsent();
    }
}

/// Writes the value of the header `backsight-crumb` for a response to `out`, with a NUL; returns its length, 0 for no header.
///
/// # Safety
/// `out` is null or points to `BKS_RESPONSE_CRUMB_BYTES`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_response_crumb(out: *mut [u8; RESPONSE_BYTES_MAX + 1]) -> i32 {
    // SAFETY: null, or valid, says the caller.
    let Some(out) = (unsafe { out.as_mut() }) else { return 0 };
    let crumb = response_crumb();
    put_text(out, crumb.as_ref().map_or(b"", |crumb| crumb.as_bytes())) as i32
}

/// Copies `text`, which fits, to the start of `out`, with a NUL behind it; returns its length.
fn put_text(out: &mut [u8], text: &[u8]) -> u32 {
    let len = text.len().min(out.len() - 1);
    out[..len].copy_from_slice(&text[..len]);
    out[len] = 0;
    len as u32
}
