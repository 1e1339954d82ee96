//! Processes whose sessions were closed and that run on: until each of them has ended, nobody knows what it writes.
//!
//! Called by the daemon's loop. Holds a descriptor of each process, bounded.

use super::peer::Peer;
use backsight_core::ids::RegionId;

/// Processes that are followed to their ends. The region of one beyond stays as it is.
const EXPELLED_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct Expelled {
    processes: Vec<(Peer, RegionId)>,
}

impl Expelled {
    /// Adds a process that was expelled from `region`. Returns the region from which it had been expelled before, if it had: what it may write
    /// now counts once.
    pub fn add(&mut self, peer: Peer, region: RegionId) -> Option<RegionId> {
        let known = self.processes.iter_mut().find(|(known, _)| known.owner() == peer.owner());
        if let Some((_, before)) = known {
            return Some(std::mem::replace(before, region));
        }
        if self.processes.len() < EXPELLED_MAX {
            self.processes.push((peer, region));
        }
        None
    }

    /// Takes out the processes that have ended; returns their regions.
    ///
    /// # Cost
    /// A system call for each process.
    pub fn take_ended(&mut self) -> Vec<RegionId> {
        self.processes.extract_if(.., |(peer, _)| peer.is_ended()).map(|(_, region)| region).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Expelled;
    use crate::keep::name::Owner;
    use crate::sessions::peer::Peer;
    use backsight_core::ids::RegionId;
    use std::process::{Child, Command};

    fn peer(child: &Child) -> Peer {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let start_time = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
        Peer::again(Owner { pid: child.id(), start_time, uid: 0 }).unwrap()
    }

    #[test]
    fn a_process_is_followed_once_and_to_its_end() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut expelled = Expelled::default();
        assert_eq!(expelled.add(peer(&child), RegionId(1)), None);
        assert_eq!(expelled.add(peer(&child), RegionId(2)), Some(RegionId(1)));
        assert_eq!(expelled.take_ended(), []);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(expelled.take_ended(), [RegionId(2)]);
        assert_eq!(expelled.take_ended(), []);
    }
}
