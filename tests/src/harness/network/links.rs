//! What becomes of a packet on its way from one host to another. Pure: time is the relay's, chance is seeded.

use crate::bench::stats::SplitMix;
use std::time::Duration;

/// How two hosts are linked, each way.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Link {
    /// How long a packet takes.
    pub delay: Duration,
    /// The share of packets that are lost.
    pub loss_share: f64,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives after this time.
    Arrives(Duration),
    /// It is lost by chance.
    Lost,
    /// Its hosts are parted.
    Parted,
}

/// What became of packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// That arrived, or will.
    pub arrived: u64,
    /// That were lost by chance.
    pub lost: u64,
    /// That were stopped by a partition.
    pub parted: u64,
}

/// All links of a network.
#[derive(Debug)]
pub struct Links {
    link: Link,
    /// By a host's number: whether it is parted from those of which this says the other.
    is_apart: Vec<bool>,
    random: SplitMix,
    counts: Counts,
}

impl Links {
    /// Returns the links of a network on which nothing is late or lost.
    #[must_use]
    pub fn new(n_hosts: usize, seed: u64) -> Self {
        let random = SplitMix(seed);
        Self { link: Link::default(), is_apart: vec![false; n_hosts], random, counts: Counts::default() }
    }

    pub(super) const fn link_all(&mut self, link: Link) {
        self.link = link;
    }

    pub(super) fn part(&mut self, numbers: &[usize]) {
        for (number, is_apart) in self.is_apart.iter_mut().enumerate() {
            *is_apart = numbers.contains(&number);
        }
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Decides on a packet that leaves a host now, and counts it.
    pub fn decide(&mut self, from: usize, to: usize) -> Fate {
        // Drawn for every packet, so that a partition changes nothing of what comes after it.
        let chance = (self.random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        if self.are_parted(from, to) {
            self.counts.parted += 1;
            return Fate::Parted;
        }
        if chance < self.link.loss_share {
            self.counts.lost += 1;
            return Fate::Lost;
        }
        self.counts.arrived += 1;
        Fate::Arrives(self.link.delay)
    }

    /// Returns whether a packet that was on its way when its hosts were parted is to be dropped, and counts it.
    pub fn is_cut_off(&mut self, from: usize, to: usize) -> bool {
        let is_cut_off = self.are_parted(from, to);
        if is_cut_off {
            self.counts.arrived -= 1;
            self.counts.parted += 1;
        }
        is_cut_off
    }

    fn are_parted(&self, from: usize, to: usize) -> bool {
        self.is_apart.get(from) != self.is_apart.get(to)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Fate, Link, Links};
    use std::time::Duration;

    #[test]
    fn packets_are_late_and_lost_as_often_as_was_said() {
        let mut links = Links::new(2, 7);
        assert_eq!(links.decide(0, 1), Fate::Arrives(Duration::ZERO));
        let link = Link { delay: Duration::from_millis(20), loss_share: 0.2 };
        links.link_all(link);
        let fates: Vec<Fate> = (0..10_000).map(|_| links.decide(1, 0)).collect();
        let n_lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((1_800..2_200).contains(&n_lost), "{n_lost}");
        assert!(fates.iter().all(|fate| matches!(fate, Fate::Lost | Fate::Arrives(Duration { .. }))));
        let mut again = Links::new(2, 7);
        again.decide(0, 1);
        again.link_all(link);
        assert!((0..10_000).map(|_| again.decide(1, 0)).eq(fates), "seeded");
    }

    #[test]
    fn a_partition_cuts_between_its_sides_alone_and_heals() {
        let mut links = Links::new(4, 1);
        links.part(&[0, 1]);
        let through = |links: &mut Links, from, to| links.decide(from, to) == Fate::Arrives(Duration::ZERO);
        assert!(through(&mut links, 0, 1) && through(&mut links, 2, 3));
        assert!(!through(&mut links, 0, 2) && !through(&mut links, 3, 1) && links.is_cut_off(1, 3));
        links.part(&[]);
        assert!(through(&mut links, 0, 2) && !links.is_cut_off(0, 2));
        assert_eq!(links.counts(), Counts { arrived: 2, lost: 0, parted: 3 });
    }
}
