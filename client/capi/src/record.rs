//! Recording within the active segment, out of line: what cannot be inlined, and what the inlined part leaves.

use crate::name::{bks_name, resolve};
use crate::text;
use backsight_client::{Context, Level, SpanId, SpanKind, TraceId, Value, ffi};
use backsight_core::record::{Kind, StatusCode};
use std::ffi::c_char;

/// A span that is open.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct bks_span {
    trace: TraceId,
    id: SpanId,
    outer: SpanId,
}

/// Records bytes that only the application understands.
///
/// # Safety
/// `payload` is null or points to `n_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_raw(payload: *const u8, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    ffi::raw_cold(Level::Normal, unsafe { text::bytes(payload, n_bytes) });
}

/// Does what [`bks_raw`] does, at detail level `level`.
///
/// # Safety
/// As of [`bks_raw`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_raw_at(level: i32, payload: *const u8, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    ffi::raw_cold(level_of(level), unsafe { text::bytes(payload, n_bytes) });
}

/// Records a payload with a name.
///
/// # Safety
/// `name` is null or a valid `bks_name`; `payload` is null or points to `n_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_named(name: *const bks_name, payload: *const u8, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    unsafe { bks_named_at(Level::Normal as i32, name, payload, n_bytes) };
}

/// Does what [`bks_named`] does, at detail level `level`.
///
/// # Safety
/// As of [`bks_named`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_named_at(level: i32, name: *const bks_name, payload: *const u8, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { resolve(name) };
    // SAFETY: as above.
    backsight_client::named_at(level_of(level), name, unsafe { text::bytes(payload, n_bytes) });
}

/// Records an event of the innermost open span.
///
/// # Safety
/// `name` is null or a valid `bks_name`; `message` is null or points to `n_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_event(name: *const bks_name, message: *const u8, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    unsafe { event_at(Level::Normal, name, message, n_bytes) };
}

/// Does what [`bks_event`] does, at detail level `level`.
///
/// # Safety
/// As of [`bks_event`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_event_at(level: i32, name: *const bks_name, message: *const u8, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    unsafe { event_at(level_of(level), name, message, n_bytes) };
}

/// # Safety
/// As of [`bks_event`].
unsafe fn event_at(level: Level, name: *const bks_name, message: *const u8, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { resolve(name) };
    // SAFETY: as above.
    let message = unsafe { text::bytes(message, n_bytes) };
    ffi::event_bytes(level, name, message);
}

/// Returns the level that C calls `level`; other numbers are the normal one.
fn level_of(level: i32) -> Level {
    u8::try_from(level).map_or(Level::Normal, Level::from_code)
}

/// Starts a span under the innermost open one; an empty one where nothing is recorded.
///
/// # Safety
/// `name` is null or a valid `bks_name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_span_start(name: *const bks_name, kind: i32) -> bks_span {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { resolve(name) };
    let kind = SpanKind::from_code(u8::try_from(kind).unwrap_or(0));
    let ffi::Started { trace, id, outer } = ffi::span_start_unguarded(name, kind);
    bks_span { trace, id, outer }
}

/// Gives the innermost open span another name.
///
/// # Safety
/// `name` is null or a valid `bks_name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_rename(name: *const bks_name) {
    // SAFETY: the caller's contract is the same.
    backsight_client::rename(unsafe { resolve(name) });
}

/// Ends a span; nothing happens where its trace is not active.
///
/// # Safety
/// `span` is null or points to a `bks_span`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_span_end(span: *const bks_span) {
    // SAFETY: null, or valid, says the caller.
    if let Some(span) = unsafe { span.as_ref() }.filter(|span| !span.id.is_none()) {
        ffi::span_end_unguarded(span.trace, span.id, span.outer);
    }
}

/// Records a boolean attribute of the innermost open span.
///
/// # Safety
/// `key` is null or a valid `bks_name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_bool(key: *const bks_name, value: i32) {
    // SAFETY: the caller's contract is the same.
    unsafe { attr_at(Level::Normal, key, Value::Bool(value != 0)) };
}

/// Does what [`bks_attr_bool`] does, at detail level `level`.
///
/// # Safety
/// As of [`bks_attr_bool`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_bool_at(level: i32, key: *const bks_name, value: i32) {
    // SAFETY: the caller's contract is the same.
    unsafe { attr_at(level_of(level), key, Value::Bool(value != 0)) };
}

/// Records an integer attribute of the innermost open span.
///
/// # Safety
/// `key` is null or a valid `bks_name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_i64(key: *const bks_name, value: i64) {
    // SAFETY: the caller's contract is the same.
    unsafe { attr_at(Level::Normal, key, Value::I64(value)) };
}

/// Does what [`bks_attr_i64`] does, at detail level `level`.
///
/// # Safety
/// As of [`bks_attr_i64`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_i64_at(level: i32, key: *const bks_name, value: i64) {
    // SAFETY: the caller's contract is the same.
    unsafe { attr_at(level_of(level), key, Value::I64(value)) };
}

/// Records a floating-point attribute of the innermost open span.
///
/// # Safety
/// `key` is null or a valid `bks_name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_f64(key: *const bks_name, value: f64) {
    // SAFETY: the caller's contract is the same.
    unsafe { attr_at(Level::Normal, key, Value::F64(value)) };
}

/// Does what [`bks_attr_f64`] does, at detail level `level`.
///
/// # Safety
/// As of [`bks_attr_f64`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_f64_at(level: i32, key: *const bks_name, value: f64) {
    // SAFETY: the caller's contract is the same.
    unsafe { attr_at(level_of(level), key, Value::F64(value)) };
}

/// Records a text attribute of the innermost open span; text that is not UTF-8 is recorded as bytes.
///
/// # Safety
/// `key` is null or a valid `bks_name`; `value` is null or points to `n_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_str(key: *const bks_name, value: *const c_char, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    let value = unsafe { text_value(value, n_bytes) };
    // SAFETY: as above.
    unsafe { attr_at(Level::Normal, key, value) };
}

/// Does what [`bks_attr_str`] does, at detail level `level`.
///
/// # Safety
/// As of [`bks_attr_str`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_str_at(level: i32, key: *const bks_name, value: *const c_char, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    let value = unsafe { text_value(value, n_bytes) };
    // SAFETY: as above.
    unsafe { attr_at(level_of(level), key, value) };
}

/// Records a text attribute whose value is interned: for values of which there are few.
///
/// # Safety
/// Both are null or valid `bks_name`s.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_istr(key: *const bks_name, value: *const bks_name) {
    // SAFETY: the caller's contract is the same.
    let value = unsafe { resolve(value) };
    // SAFETY: as above.
    unsafe { attr_at(Level::Normal, key, Value::Name(value)) };
}

/// Does what [`bks_attr_istr`] does, at detail level `level`.
///
/// # Safety
/// As of [`bks_attr_istr`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attr_istr_at(level: i32, key: *const bks_name, value: *const bks_name) {
    // SAFETY: the caller's contract is the same.
    let value = unsafe { resolve(value) };
    // SAFETY: as above.
    unsafe { attr_at(level_of(level), key, Value::Name(value)) };
}

/// # Safety
/// `key` is null or a valid `bks_name`.
unsafe fn attr_at(level: Level, key: *const bks_name, value: Value<'_>) {
    // SAFETY: the caller's contract is the same.
    backsight_client::attr_at(level, unsafe { resolve(key) }, value);
}

/// # Safety
/// `text` is null or points to `n_bytes` bytes, which live during `'a`.
unsafe fn text_value<'a>(text: *const c_char, n_bytes: usize) -> Value<'a> {
    // SAFETY: the caller's contract is the same.
    let bytes = unsafe { text::bytes(text.cast(), n_bytes) };
    std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Str)
}

/// Links the innermost open span to the span of another trace that `to` stands for.
///
/// # Safety
/// `to` is null or points to a `bks_context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_link(to: *const Context) {
    // SAFETY: null, or valid, says the caller.
    if let Some(to) = unsafe { to.as_ref() } {
        backsight_client::link(to.trace, to.span);
    }
}

/// Records that an exception was thrown in the innermost open span.
///
/// # Safety
/// `kind` is null or a valid `bks_name`; `message` is null or points to `n_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_exception(kind: *const bks_name, message: *const u8, n_bytes: usize) {
    // SAFETY: the caller's contract is the same.
    let kind = unsafe { resolve(kind) };
    // SAFETY: as above.
    ffi::exception_bytes(kind, unsafe { text::bytes(message, n_bytes) });
}

/// Says how the innermost open span ended: 0 unset, 1 ok, 2 error.
///
/// # Safety
/// `text` is null or points to `n_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_status(code: i32, text: *const u8, n_bytes: usize) {
    let code = StatusCode::from_code(u32::try_from(code).unwrap_or(0)) as u64;
    // SAFETY: the caller's contract is the same.
    let text = unsafe { text::bytes(text, n_bytes) };
    ffi::with_writer(|writer, now| {
        let span = writer.span();
        writer.record_of_span::<1, 2>(now, Kind::Status, 0, span, [code], text)
    });
}
