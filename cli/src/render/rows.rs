//! The rows of the tree: offset, length, a bar in proportion, then branch, name and what was recorded.

use super::text::{clean, cut, offset, pad, width, wrap};
use super::tree::{DEPTH_MAX, Node, Placed, tree};
use super::{Ink, Line, Style};
use backsight_proto::trace_json::{AttributeJson, ClockJson, EventJson, PayloadJson, PlaceJson, TraceJson, ValueJson};

/// Columns of an offset, and of a length.
const TIME_COLUMNS: usize = 9;
/// Columns of one attribute's value that a terminal is shown.
const VALUE_COLUMNS_MAX: usize = 200;
/// Columns of a payload that a terminal is shown.
const PAYLOAD_COLUMNS_MAX: usize = 200;
/// Elements of an array that a terminal is shown.
const ELEMENTS_MAX: usize = 8;
/// What is recorded has at least this room beside its branches, which are cut for it.
const DETAIL_COLUMNS_MIN: usize = 24;

/// Returns the tree of a trace.
pub(super) fn rows(trace: &TraceJson, style: &Style) -> String {
    let columns = style.width.unwrap_or(Style::WIDTH_USUAL);
    let bar = Bar { columns: (columns / 6).clamp(6, 24), duration_ns: trace.duration_ns };
    let mut out = String::new();
    let mut heading = Line::new(style);
    let title = format!("{:>TIME_COLUMNS$} {:>TIME_COLUMNS$}  {}  SPAN", "START", "LENGTH", pad("", bar.columns));
    heading.push(Ink::Dim, &title);
    out += &heading.end();
    for placed in tree(trace) {
        let process = trace.processes.get(placed.node.at().process_idx);
        let clock = process.map(|process| process.clock).unwrap_or_default();
        let died_ns = process.and_then(|process| process.death.as_ref()?.at_ns);
        let rows = Rows { style, bar, clock, died_ns };
        out += &rows.head(&placed);
        out += &rows.details(&placed);
    }
    out
}

/// The column of bars: its width, and the time that this width stands for.
#[derive(Clone, Copy)]
struct Bar {
    columns: usize,
    duration_ns: u64,
}

impl Bar {
    /// Returns the bar of an interval, at least one cell; a pale one, up to the death of the process if that is known, where it has no end.
    fn draw(self, at: &PlaceJson, died_ns: Option<i64>) -> String {
        let whole = self.duration_ns.max(1) as f64;
        let cell_of = |ns: f64| ((ns / whole).clamp(0.0, 1.0) * self.columns as f64).round() as usize;
        let start = at.start_ns.max(0) as f64;
        let first = cell_of(start).min(self.columns - 1);
        let end_ns = at.duration_ns.map(|ns| start + ns as f64).or(died_ns.map(|ns| ns as f64));
        let end = end_ns.map_or(self.columns, cell_of);
        let n_cells = end.saturating_sub(first).max(1);
        let cell = if at.duration_ns.is_some() { "█" } else { "░" };
        format!("{}{}{}", pad("", first), cell.repeat(n_cells), pad("", self.columns - first - n_cells))
    }
}

struct Rows<'a> {
    style: &'a Style,
    bar: Bar,
    clock: ClockJson,
    /// When the process died.
    died_ns: Option<i64>,
}

impl Rows<'_> {
    fn time(&self, ns: i64) -> String {
        match self.clock {
            ClockJson::Wall => offset(ns),
            ClockJson::Ticks => format!("{ns} tk"),
        }
    }

    /// Returns the row of a span or visit itself.
    fn head(&self, placed: &Placed<'_>) -> String {
        let at = placed.node.at();
        let mut line = Line::new(self.style);
        let length = match at.duration_ns {
            Some(ns) => self.time(i64::try_from(ns).unwrap_or(i64::MAX)),
            None if at.is_cut => "cut".to_owned(),
            None => "open".to_owned(),
        };
        let ink = if at.duration_ns.is_some() { Ink::Plain } else { Ink::Doubt };
        line.push(Ink::Dim, &format!("{:>TIME_COLUMNS$} ", self.time(at.start_ns)));
        line.push(ink, &format!("{length:>TIME_COLUMNS$}  "));
        let bar = match self.clock {
            ClockJson::Wall => self.bar.draw(at, self.died_ns),
            ClockJson::Ticks => pad("", self.bar.columns),
        };
        line.push(bar_ink(placed.node), &bar);
        line.push(Ink::Dim, &format!("  {}", branch(placed)));
        let service = if at.service.is_empty() { "?".to_owned() } else { clean(&at.service) };
        line.push(Ink::Plain, &format!("{service} "));
        match placed.node {
            Node::Span(span) => {
                let name = if span.is_started { clean(&span.name) } else { "(start not found)".to_owned() };
                line.push(Ink::Name, &name);
                if span.kind != "internal" {
                    line.push(Ink::Dim, &format!("  {}", clean(&span.kind)));
                }
                match span.status.as_str() {
                    "unset" => {}
                    "error" if !span.status_text.is_empty() => {} // it has a line of its own
                    "error" => line.push(Ink::Bad, "  error"),
                    status => line.push(Ink::Good, &format!("  {}", clean(status))),
                }
            }
            Node::Visit(_) => line.push(Ink::Dim, &format!("visit of thread {}", at.tid)),
        }
        if placed.is_orphan {
            line.push(Ink::Doubt, &format!("  (its parent {} is not here)", clean(placed.node.parent())));
        }
        line.end()
    }

    /// Returns the rows below: why it failed, attributes, links, then events and payloads by time.
    fn details(&self, placed: &Placed<'_>) -> String {
        let notes = placed.node.notes();
        let mut out = String::new();
        if let Node::Span(span) = placed.node
            && span.status == "error"
            && !span.status_text.is_empty()
        {
            out += &self.detail(placed, None, Ink::Bad, &format!("error: {}", clean(&span.status_text)));
        }
        if !notes.attributes.is_empty() {
            out += &self.detail(placed, None, Ink::Plain, &self.attributes(&notes.attributes));
        }
        if let Node::Span(span) = placed.node {
            for link in &span.links {
                out +=
                    &self.detail(placed, None, Ink::Dim, &clean(&format!("→ trace {} span {}", link.trace, link.span)));
            }
        }
        let events = notes.events.iter().map(|event| (event.at_ns, event_ink(event), self.event(event)));
        let payloads = notes.payloads.iter().map(|payload| (payload.at_ns, Ink::Plain, self.payload(payload)));
        let mut timed: Vec<_> = events.chain(payloads).collect();
        timed.sort_by_key(|(at_ns, ..)| *at_ns);
        for (at_ns, ink, text) in timed {
            out += &self.detail(placed, Some(at_ns), ink, &text);
        }
        out
    }

    /// Returns a row below a node's own, in as many lines as its text takes.
    fn detail(&self, placed: &Placed<'_>, at_ns: Option<i64>, ink: Ink, text: &str) -> String {
        let time = at_ns.map(|ns| self.time(ns)).unwrap_or_default();
        let gap = pad("", TIME_COLUMNS + 3 + self.bar.columns);
        let before = |time: &str| format!("{time:>TIME_COLUMNS$} {gap}  {}", below(placed));
        let (first, next) = (before(&time), before(""));
        let room = self.style.room();
        let text_room = room.saturating_sub(width(&first)).max(DETAIL_COLUMNS_MIN);
        let mut out = String::new();
        for (nth, part) in wrap(text, text_room).iter().enumerate() {
            let mut line = Line::new(self.style);
            let before = if nth == 0 { &first } else { &next };
            line.push(Ink::Dim, &cut_short(before, room - text_room));
            line.push(ink, part);
            out += &line.end();
        }
        out
    }

    fn attributes(&self, attributes: &[AttributeJson]) -> String {
        let texts = attributes.iter().map(|of| format!("{}={}", clean(&of.key), self.value(&of.value)));
        texts.collect::<Vec<_>>().join(" ")
    }

    fn value(&self, of: &ValueJson) -> String {
        let columns_max = self.style.most(VALUE_COLUMNS_MAX);
        match of {
            ValueJson::Bool(value) => value.to_string(),
            ValueJson::I64(value) => value.to_string(),
            ValueJson::F64(value) => value.to_string(),
            ValueJson::Str(text) => {
                let is_word = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
                let short = cut(&clean(text), columns_max).0;
                if is_word { short } else { format!("\"{short}\"") }
            }
            ValueJson::Bytes(hex) => format!("0x{}", cut(&clean(hex), columns_max).0),
            ValueJson::Array(values) => {
                let n_max = self.style.most(ELEMENTS_MAX);
                let more = if values.len() > n_max { ", …" } else { "" };
                let shown: Vec<String> = values.iter().take(n_max).map(|value| self.value(value)).collect();
                format!("[{}{more}]", shown.join(", "))
            }
        }
    }

    fn event(&self, event: &EventJson) -> String {
        let message = if event.message.is_empty() { String::new() } else { format!(": {}", clean(&event.message)) };
        let attributes = self.attributes(&event.attributes);
        format!("• {}{message} {attributes}", clean(&event.name)).trim_end().to_owned()
    }

    fn payload(&self, payload: &PayloadJson) -> String {
        let columns_max = self.style.most(PAYLOAD_COLUMNS_MAX);
        let name = payload.name.as_deref().unwrap_or("payload");
        let bytes = backsight_core::units::Bytes(payload.len);
        let truncated = if payload.is_truncated { ", truncated" } else { "" };
        let shown = match (&payload.text, &payload.hex) {
            (Some(text), _) => format!("\"{}\"", cut(&clean(text), columns_max).0),
            (None, Some(hex)) => format!("0x{}", cut(&clean(hex), columns_max).0),
            (None, None) => String::new(),
        };
        format!("▪ {} ({bytes}{truncated}) {shown}", clean(name)).trim_end().to_owned()
    }
}

/// Returns the first `columns` columns of what stands before a text, and no sign that there was more.
fn cut_short(before: &str, columns: usize) -> String {
    if width(before) <= columns { before.to_owned() } else { before.chars().take(columns).collect() }
}

fn bar_ink(node: Node<'_>) -> Ink {
    match node {
        Node::Span(span) if span.status == "error" => Ink::Bad,
        _ if node.at().is_cut => Ink::Bad,
        Node::Span(_) => Ink::Good,
        Node::Visit(_) => Ink::Dim,
    }
}

/// Returns the lines of the ancestors that have siblings to come.
fn ancestors(placed: &Placed<'_>) -> String {
    let levels = 1..placed.depth.min(DEPTH_MAX);
    levels.map(|level| if placed.open_levels >> level & 1 == 1 { "│ " } else { "  " }).collect()
}

/// Returns what stands before a node's name.
fn branch(placed: &Placed<'_>) -> String {
    match (placed.depth, placed.is_last) {
        (0, _) => String::new(),
        (_, true) => ancestors(placed) + "└ ",
        (_, false) => ancestors(placed) + "├ ",
    }
}

/// Returns what stands before the rows below a node's own.
fn below(placed: &Placed<'_>) -> String {
    let own = match (placed.depth, placed.is_last) {
        (0, _) => "",
        (_, true) => "  ",
        (_, false) => "│ ",
    };
    ancestors(placed) + own + if placed.has_children { "│   " } else { "    " }
}

fn event_ink(event: &EventJson) -> Ink {
    if event.name == "exception" { Ink::Bad } else { Ink::Plain }
}
