//! What the loop does about an agent that was here before: it goes on with the processes that run, and has what they all recorded taken over.

use super::Daemon;
use crate::journal::Journal;
use crate::keep::name::{Name, Owner};
use crate::keep::{Holder, Keep, Survivors};
use crate::recorder::Survivor;
use crate::sessions::Session;
use crate::sessions::peer::Peer;
use backsight_core::ids::RegionId;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use tracing::{info, warn};

/// What is left of a session.
#[derive(Default)]
struct Left {
    memory: Option<(Owner, OwnedFd)>,
    socket: Option<OwnedFd>,
    doorbell: Option<OwnedFd>,
}

/// A session whose region is being taken over.
struct Resumed {
    region: RegionId,
    peer: Option<Peer>,
    socket: Option<OwnedFd>,
    doorbell: Option<OwnedFd>,
}

impl Daemon {
    /// Goes on where an earlier agent ended.
    pub(super) fn resume(&mut self, survivors: Survivors) {
        let start = self.now();
        let (journal, left) = sort(survivors);
        let (agent, boot) = (self.agent, crate::ident::boot_id());
        let journal = journal.and_then(|fd| Journal::adopt(fd, agent, boot));
        if journal.is_none() && left.is_empty() {
            return;
        }
        let (mut regions, mut resumed) = (Vec::new(), Vec::new());
        for (region, Left { memory, socket, doorbell }) in left {
            let Some((of, fd)) = memory else {
                self.keep.remove_session(region);
                continue;
            };
            self.keep.note_region(region, of);
            let peer = Peer::again(of);
            let is_running = peer.is_some();
            regions.push(Survivor { fd, region, pid: of.pid, uid: of.uid, start_time: of.start_time, is_running });
            resumed.push(Resumed { region, peer, socket, doorbell });
        }
        let n_regions = regions.len();
        let point = self.clock.timeline().points().last().copied().unwrap_or_default();
        let clock = &self.clock;
        let positions = self.recorder.take_over(regions, journal, point, &|| super::now_on(clock));
        for (of, position) in resumed.into_iter().zip(positions) {
            match position {
                Ok(position) => self.resume_session(of, position),
                Err(error) => {
                    warn!(region = of.region.0, %error, "region not taken over");
                    self.keep.remove_session(of.region);
                    self.keep.remove_region(of.region);
                }
            }
        }
        let took_ms = (self.now().time.0 - start.time.0) / 1_000_000;
        info!(regions = n_regions, took_ms, "went on where an earlier agent ended");
    }

    /// Begins a session anew whose process runs and has its region.
    fn resume_session(&mut self, of: Resumed, position: u32) {
        let Some(peer) = of.peer.filter(|_| self.recorder.is_live(position)) else {
            return self.keep.remove_session(of.region);
        };
        let session = Session {
            n_attached: 0,
            socket: of.socket,
            peer,
            doorbell: of.doorbell,
            member: Some(position),
            said_goodbye: self.recorder.said_goodbye(position),
            connected: self.now().time,
        };
        let watched = match self.sessions.add(session) {
            Ok(number) => self.watch_session(number).and_then(|()| self.watch_doorbell(number)).map_err(|error| {
                self.remove_session(number);
                std::io::Error::from(error).to_string()
            }),
            Err((_, refusal)) => Err(refusal.to_string()),
        };
        if let Err(error) = watched {
            warn!(region = of.region.0, error, "session not resumed");
            self.keep.remove_session(of.region);
            self.recorder.expel(position, self.now());
        }
    }

    /// Has everything held anew where a keeper has gone.
    pub(super) fn look_after_keeper(&mut self) {
        self.keep.flush();
        if !self.keep.is_lost() {
            return;
        }
        match Keep::open(&self.state_dir, self.hold) {
            Ok((keep, _)) => {
                let before = std::mem::replace(&mut self.keep, keep);
                self.store_all(&before);
                warn!("keeper had gone, another holds what is recorded");
            }
            Err(error) => self.warn_of_client("no keeper: what is recorded goes with this agent", &error),
        }
    }

    /// Has what a successor needs to know written down, where anybody holds it.
    pub(super) fn begin_journal(&mut self) {
        if self.keep.holder() == Holder::Nobody {
            return;
        }
        match self.recorder.keep_journal() {
            Ok(journal) => self.keep.store_journal(journal),
            Err(error) => warn!(%error, "journal not held, a successor will know less"),
        }
    }

    fn store_all(&mut self, before: &Keep) {
        self.begin_journal();
        for (region, fd) in self.recorder.regions() {
            if let Some(of) = before.owner(region) {
                self.keep.store_region(region, of, fd);
            }
        }
        for (region, session) in self.sessions.iter().filter_map(|(_, session)| Some((session.member?, session))) {
            if let Some((region, _)) = self.recorder.region(region) {
                let (socket, doorbell) = (session.socket.as_ref(), session.doorbell.as_ref());
                self.keep.store_session(region, socket.map(AsFd::as_fd), doorbell.map(AsFd::as_fd));
            }
        }
    }
}

/// Puts together what belongs to one session.
fn sort(survivors: Survivors) -> (Option<OwnedFd>, BTreeMap<RegionId, Left>) {
    let (mut journal, mut left) = (None, BTreeMap::<RegionId, Left>::new());
    for (name, fd) in survivors {
        match name {
            Name::Journal => journal = Some(fd),
            Name::Region(region, of) => left.entry(region).or_default().memory = Some((of, fd)),
            Name::Socket(region) => left.entry(region).or_default().socket = Some(fd),
            Name::Doorbell(region) => left.entry(region).or_default().doorbell = Some(fd),
        }
    }
    (journal, left)
}
