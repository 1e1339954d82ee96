//! A small shop's checkout service: eight workers serve requests, one in a hundred is slow, one in a hundred fails.
//!
//! The smallest example; run it beside an agent:
//! `BACKSIGHT_SOCKET=/tmp/agent.sock cargo run -p checkout -- --seconds 10`. Each slow or failing request fires a trigger; what it fired for
//! is also written to standard output, one line each (`slow TRACE`, `error TRACE`), so that anyone can check what was captured.
#![forbid(unsafe_code)]

mod shop;

use anyhow::{Context as _, Result};
use backsight::{Context, SpanKind, StatusCode, TraceId, TriggerId};
use clap::Parser;
use shop::{Fate, Shop};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the command line says.
#[derive(Clone, Copy, Debug, Parser)]
struct Options {
    /// How long to serve.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Workers, each a thread.
    #[arg(long, default_value_t = 8)]
    workers: u64,
    /// Requests a second that all workers serve together.
    #[arg(long, default_value_t = 4000)]
    rate: u64,
    /// Decides which requests are slow or fail.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The triggers of this service.
#[derive(Clone, Copy, Debug)]
struct Triggers {
    slow: TriggerId,
    error: TriggerId,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let settings = backsight::Settings { service: Some("checkout"), ..backsight::Settings::default() };
    if let Err(why) = backsight::init(settings) {
        eprintln!("checkout: not recorded: {why}");
    }
    let triggers = Triggers {
        slow: backsight::register_trigger("checkout.slow").context("the trigger of slow requests")?,
        error: backsight::register_trigger("checkout.error").context("the trigger of errors")?,
    };
    let served = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..options.workers {
            let served = &served;
            scope.spawn(move || serve(options, triggers, worker, served));
        }
    });
    println!("served {}", served.load(Ordering::Relaxed));
    Ok(())
}

/// Serves this worker's share of the rate until the time is over.
fn serve(options: Options, triggers: Triggers, worker: u64, served: &AtomicU64) {
    let start = Instant::now();
    let mut shop = Shop::new(options.seed.wrapping_mul(1_000_003).wrapping_add(worker));
    let period = Duration::from_secs(options.workers).div_f64(options.rate.max(1) as f64);
    for i in 1_u32.. {
        std::thread::sleep(period.saturating_mul(i).saturating_sub(start.elapsed()));
        if start.elapsed() > Duration::from_secs(options.seconds) {
            break;
        }
        handle(&mut shop, triggers);
        served.fetch_add(1, Ordering::Relaxed); // a count; the scope's end orders it
    }
}

/// Serves one request, recorded in full.
fn handle(shop: &mut Shop, triggers: Triggers) {
    let order = shop.next_order();
    let context = Context::new_trace();
    let _segment = backsight::begin(&context);
    let _request = backsight::span!("POST /checkout", SpanKind::Server);
    backsight::attr!("order.items", i64::from(order.items));
    backsight::attr!("customer.tier", if order.is_premium { "premium" } else { "standard" });
    {
        let _span = backsight::span!("reserve stock");
        for item in 0..order.items {
            backsight::event!("item reserved");
            shop.work(Duration::from_micros(10 + u64::from(item)));
        }
    }
    let paid = {
        let _span = backsight::span!("charge card", SpanKind::Client);
        backsight::attr!("peer.service", "bank");
        charge(shop, order.fate)
    };
    match (paid, order.fate) {
        (Err(reason), _) => {
            backsight::status(StatusCode::Error, reason);
            report("error", context.trace, triggers.error);
        }
        (Ok(()), Fate::Slow) => report("slow", context.trace, triggers.slow),
        (Ok(()), _) => {}
    }
}

/// Charges the card; slow requests wait for the bank, failing ones are declined.
fn charge(shop: &mut Shop, fate: Fate) -> Result<(), &'static str> {
    match fate {
        Fate::Slow => {
            backsight::event!("retry", "the bank did not answer within 20 ms");
            shop.work(Duration::from_millis(25));
        }
        Fate::Failing => {
            backsight::event!("declined", "insufficient funds");
            backsight::status(StatusCode::Error, "card declined");
            return Err("payment failed");
        }
        Fate::Usual => shop.work(Duration::from_micros(80)),
    }
    Ok(())
}

/// Fires the trigger, and tells the reader of standard output which trace it was for.
fn report(what: &str, trace: TraceId, trigger: TriggerId) {
    let mut out = std::io::stdout().lock();
    let told = writeln!(out, "{what} {trace}").and_then(|()| out.flush());
    if told.is_ok() {
        backsight::trigger(trigger);
    }
}
