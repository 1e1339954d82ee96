//! Exceptions: panics and errors, recorded where they happen and fired for the trace that met them.
//!
//! Called by applications: [`install_panic_hook`] once at start, [`OnPanic`] where a panic may cross another's hook, [`error`] where an
//! error is answered. Allocates nothing at a panic.

use super::AutotriggerError;
use crate::name::StaticName;
use backsight_core::ids::TriggerId;
use backsight_core::record::StatusCode;
use std::fmt::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

/// The name under which panics and errors fire.
pub const TRIGGER_NAME: &str = "exception";
/// Room for a panic's message and place; longer ones are cut.
const TEXT_MAX_BYTES: usize = 512;

static PANIC: StaticName = StaticName::new("panic");
/// The trigger, or why there is none: made once.
static TRIGGER: OnceLock<Result<TriggerId, AutotriggerError>> = OnceLock::new();
static HOOKED: OnceLock<()> = OnceLock::new();

/// Records every panic from now on as an exception of the active trace and fires for it, then calls the hook that was there before.
///
/// A second call does nothing. A panic that is caught fires too: a request that panicked is worth a look.
///
/// # Errors
/// Another trigger of this process clashes with the name `exception`; the hook is not installed then.
pub fn install_panic_hook() -> Result<(), AutotriggerError> {
    trigger_id()?;
    HOOKED.get_or_init(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            record(info);
            before(info);
        }));
    });
    Ok(())
}

/// Says that the innermost open span ended in an error, and fires for the active trace. Returns whether anything took note.
///
/// # Cost
/// A STATUS record, and that of [`crate::trigger`](fn@crate::trigger).
pub fn error(text: &str) -> bool {
    crate::status(StatusCode::Error, text);
    fire()
}

/// Fires for the active trace if it is dropped by a panic that began after it was made: for programs that own the panic hook.
#[derive(Debug)]
#[must_use = "it watches until it drops"]
pub struct OnPanic {
    was_panicking: bool,
}

impl OnPanic {
    /// Starts watching.
    pub fn new() -> Self {
        Self { was_panicking: std::thread::panicking() }
    }
}

impl Default for OnPanic {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OnPanic {
    fn drop(&mut self) {
        if !self.was_panicking && std::thread::panicking() {
            crate::exception(&PANIC, "unwound through a guard");
            fire();
        }
    }
}

fn trigger_id() -> Result<TriggerId, AutotriggerError> {
    TRIGGER.get_or_init(|| super::register(TRIGGER_NAME)).clone()
}

fn fire() -> bool {
    trigger_id().is_ok_and(crate::trigger)
}

fn record(info: &PanicHookInfo<'_>) {
    let mut text = Text { bytes: [0; TEXT_MAX_BYTES], len: 0 };
    describe(&mut text, info);
    crate::exception(&PANIC, text.as_str());
    fire();
}

/// Writes a panic's message and place.
fn describe(text: &mut Text, info: &PanicHookInfo<'_>) {
    // `Text` takes what fits and reports no error.
    if let Some(place) = info.location() {
        let _ = write!(text, "{place}: ");
    }
    let _ = text.write_str(info.payload_as_str().unwrap_or("a panic whose payload is no text"));
}

/// Text in place; what does not fit is left out.
struct Text {
    bytes: [u8; TEXT_MAX_BYTES],
    len: usize,
}

impl Text {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }
}

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let cut = more.floor_char_boundary(TEXT_MAX_BYTES - self.len);
        for (target, byte) in self.bytes.iter_mut().skip(self.len).zip(more.as_bytes().iter().take(cut)) {
            *target = *byte;
        }
        self.len += cut;
        Ok(())
    }
}
