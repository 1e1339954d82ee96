//! What was given up is shown by its reason, whoever counted it, and stays so when whoever counted it is gone.

use crate::client::{Client, say};
use crate::harness::{Agent, eventually};
use backsight_core::session::Message;
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::slot;

fn dropped(agent: &Agent, reason: DropReason) -> Option<u64> {
    agent.metric(&format!("backsight_agent_drops_total{{reason=\"{reason}\"}}"))
}

#[test]
fn writes_without_a_slot_are_counted_while_the_process_runs_and_after_its_end() {
    let agent = Agent::start("[pool]\nslots_per_process = 1\n");
    let client = Client::connect(&agent.socket(), "crowded");
    let thread = client.thread(1);
    assert_eq!(dropped(&agent, DropReason::ThreadSlots), Some(0));
    assert_eq!(slot::claim(&client.memory, 2), None);
    assert_eq!(dropped(&agent, DropReason::ThreadSlots), Some(1));
    assert_eq!(agent.status()["sessions"][0]["drops"]["thread_slots"], 1, "{}", agent.status());
    thread.exit();
    eventually("the slot is free again", || slot::claim(&client.memory, 3));
    assert_eq!(slot::claim(&client.memory, 4), None);
    slot::count_drop_in_handler(&client.memory, 0, DropReason::Reentrant);
    say(&client.socket, &Message::Goodbye);
    drop(client); // it lets go of the region
    eventually("the region is gone", || (agent.metric("backsight_agent_regions") == Some(0)).then_some(()));
    // Between the thread's exit and its end the agent may have been asked for a slot in vain more than once.
    assert!(dropped(&agent, DropReason::ThreadSlots) >= Some(2), "{:?}", agent.get("/metrics"));
    assert_eq!(dropped(&agent, DropReason::Reentrant), Some(1));
}

#[test]
fn reasons_that_no_agent_counts_are_not_shown_as_zero() {
    let agent = Agent::start("");
    assert_eq!(dropped(&agent, DropReason::NoChunk), Some(0));
    assert_eq!([DropReason::NoSession, DropReason::Evicted].map(|reason| dropped(&agent, reason)), [None, None]);
}
