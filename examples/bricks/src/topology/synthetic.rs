//! The generator of `synthetic93`: a seeded, acyclic topology with the traits that are published of Alibaba's call graphs.
//!
//! Called by [`super::load`]. Pure: the code is committed, the data is not, and one seed gives the same topology everywhere; only hashes and
//! the four operations of arithmetic are used, which are the same on every machine.
//!
//! # Source
//! S. Luo et al., "Characterizing Microservice Dependency and Performance: Alibaba Trace Analysis", SoCC 2021: call graphs are shallow and
//! grow like trees, widest near the entry; their sizes and fan-outs are heavy-tailed; most services have few callers and a few are hot spots
//! that nearly everything calls; stores and caches are leaves; and the same API calls other things from one request to the next. The
//! numbers here are ours: they are chosen so that 93 services run on one machine.

use super::{Api, Child, Endpoint, Service, Topology};
use crate::hash;
use std::collections::{BTreeMap, BTreeSet};

/// Visits that a request makes on average: never more, and less only by rounding.
pub(crate) const VISITS_EXPECTED: f64 = 20.0;
/// Layers from the entry down, with their services: calls go down only, so that no path is longer than this table.
const LAYERS: [(&str, usize); 6] =
    [("gateway", 1), ("front", 8), ("logic", 22), ("domain", 30), ("data", 20), ("store", 12)];
/// The most calls that one API of a layer makes.
const CALLS_MAX: [u64; LAYERS.len()] = [10, 12, 8, 5, 3, 0];
/// The names of a service's APIs; the first is the one most often called.
const APIS: [&str; 3] = ["get", "list", "put"];
/// What own work an API may cost, the most common first.
const EXEC_US: [u64; 6] = [10, 5, 20, 50, 100, 200];
/// How probable a call of the entry and the fronts may be before all are scaled to [`VISITS_EXPECTED`], the most common first.
const PROBABILITIES_ABOVE: [f64; 5] = [0.5, 1.0, 0.2, 0.1, 0.05];
/// What such a call may add to a request on average, in visits: large parts of the graph are seldom called, but then as a whole, so that
/// the sizes of requests have a heavy tail.
const VISITS_ADDED_MAX: f64 = 1.5;
/// How probable a call further down may be.
const PROBABILITIES_BELOW: [f64; 4] = [1.0, 1.0, 0.5, 0.2];
/// How probable the calls are that only keep a service from having no caller.
const SELDOM: f64 = 0.02;
/// Probabilities are whole multiples of one in so many.
const PROBABILITY_STEPS: f64 = 10_000.0;

/// An API: its layer, its service in that layer, and its position there.
type Spot = (usize, usize, usize);

/// Returns the topology of `seed`: the same one every time.
pub(crate) fn generate(seed: u64) -> Topology {
    let mut dice = Dice { seed: hash::scatter(seed), n: 0 };
    let mut graph = Graph::new(&mut dice);
    graph.draw_calls(&mut dice);
    graph.reach_all(&mut dice);
    graph.scale();
    graph.into_topology()
}

/// Random numbers: hashes of a count.
struct Dice {
    seed: u64,
    n: u64,
}

impl Dice {
    /// Returns a number of the interval from 0 (included) to 1 (excluded).
    fn share(&mut self) -> f64 {
        self.n += 1;
        hash::share(hash::join(self.seed, self.n))
    }

    /// Returns a number below `n`, each with the same probability.
    fn below(&mut self, n: usize) -> usize {
        ((self.share() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Returns a number below `n` by Zipf's law: position `k` with a weight of 1 / (k + 1), so that the first are hot.
    fn zipf(&mut self, n: usize) -> usize {
        let weight = |k: usize| 1.0 / (k + 1) as f64;
        let mut left = self.share() * (0..n).map(weight).sum::<f64>();
        for k in 0..n {
            left -= weight(k);
            if left < 0.0 {
                return k;
            }
        }
        n.saturating_sub(1)
    }

    /// Returns a whole number of at least `low`, of which a share of `low / k` is `k` or more: a heavy tail.
    fn pareto(&mut self, low: f64) -> u64 {
        (low / (1.0 - self.share())) as u64
    }
}

/// What an API does.
#[derive(Default)]
struct Node {
    exec_us: u64,
    calls: Vec<(Spot, f64)>,
}

/// The topology as it is made. Ordered by layer, so that callers come before those that they call.
struct Graph {
    nodes: BTreeMap<Spot, Node>,
}

impl Graph {
    /// Gives every service its APIs.
    fn new(dice: &mut Dice) -> Self {
        let mut nodes = BTreeMap::new();
        for (layer, (_, n_services)) in LAYERS.iter().enumerate() {
            for service in 0..*n_services {
                let n_apis = if layer == 0 { 1 } else { 1 + dice.zipf(APIS.len()) };
                for api in 0..n_apis {
                    let exec_us = EXEC_US[dice.zipf(EXEC_US.len())];
                    nodes.insert((layer, service, api), Node { exec_us, calls: Vec::new() });
                }
            }
        }
        Self { nodes }
    }

    /// Lets every API call some of those below it: many at the entry, few or none further down.
    fn draw_calls(&mut self, dice: &mut Dice) {
        let spots: Vec<Spot> = self.nodes.keys().copied().collect();
        let mut visits: BTreeMap<Spot, f64> = BTreeMap::new();
        for spot in spots.into_iter().rev() {
            let layer = spot.0;
            let n_calls = match layer {
                0 => CALLS_MAX[0],
                1 => dice.pareto(2.0),
                _ => dice.pareto(1.0) - 1,
            };
            let mut callees = BTreeSet::new();
            for _ in 0..n_calls.min(CALLS_MAX[layer]) {
                callees.insert(self.draw_callee(layer, dice));
            }
            let probability = |callee: &Spot, dice: &mut Dice| match layer {
                0 | 1 => {
                    PROBABILITIES_ABOVE[dice.zipf(PROBABILITIES_ABOVE.len())].min(VISITS_ADDED_MAX / visits[callee])
                }
                _ => PROBABILITIES_BELOW[dice.zipf(PROBABILITIES_BELOW.len())],
            };
            let calls: Vec<(Spot, f64)> =
                callees.into_iter().map(|callee| (callee, probability(&callee, dice))).collect();
            let below: f64 = calls.iter().map(|(callee, probability)| probability * visits[callee]).sum();
            visits.insert(spot, 1.0 + below);
            self.node(spot).calls = calls;
        }
    }

    /// Picks an API below `layer`: mostly in the next one, else anywhere down to the stores.
    fn draw_callee(&self, layer: usize, dice: &mut Dice) -> Spot {
        let is_next = dice.share() < 0.75;
        let below = if is_next { layer + 1 } else { layer + 1 + dice.below(LAYERS.len() - layer - 1) };
        let service = dice.zipf(LAYERS[below].1);
        (below, service, dice.zipf(self.n_apis(below, service)))
    }

    /// Lets somebody of the layer above call, seldom, each API that nobody calls.
    fn reach_all(&mut self, dice: &mut Dice) {
        let called: BTreeSet<Spot> =
            self.nodes.values().flat_map(|node| node.calls.iter().map(|(to, _)| *to)).collect();
        let alone: Vec<Spot> = self.nodes.keys().filter(|spot| spot.0 > 0 && !called.contains(spot)).copied().collect();
        for spot in alone {
            let above = spot.0 - 1;
            let service = dice.below(LAYERS[above].1);
            let caller = (above, service, dice.below(self.n_apis(above, service)));
            self.node(caller).calls.push((spot, SELDOM));
        }
    }

    /// Scales the probabilities by one factor, so that a request makes [`VISITS_EXPECTED`] visits on average.
    fn scale(&mut self) {
        let scaled = |factor: f64, probability: f64| {
            let steps = ((probability * factor).min(1.0) * PROBABILITY_STEPS) as u64;
            steps.max(1) as f64 / PROBABILITY_STEPS
        };
        let (mut low, mut high) = (0.0, 64.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if self.visits(|probability| scaled(middle, probability)) <= VISITS_EXPECTED {
                low = middle;
            } else {
                high = middle;
            }
        }
        for call in self.nodes.values_mut().flat_map(|node| &mut node.calls) {
            call.1 = scaled(low, call.1);
        }
    }

    /// Returns how many visits a request makes on average, with calls as probable as `scaled` says.
    fn visits(&self, scaled: impl Fn(f64) -> f64) -> f64 {
        let mut visits: BTreeMap<Spot, f64> = BTreeMap::new();
        for (spot, node) in self.nodes.iter().rev() {
            let below: f64 = node.calls.iter().map(|(to, probability)| scaled(*probability) * visits[to]).sum();
            visits.insert(*spot, 1.0 + below);
        }
        visits[&(0, 0, 0)]
    }

    fn n_apis(&self, layer: usize, service: usize) -> usize {
        self.nodes.range((layer, service, 0)..(layer, service + 1, 0)).count()
    }

    fn node(&mut self, spot: Spot) -> &mut Node {
        self.nodes.entry(spot).or_default()
    }

    fn into_topology(self) -> Topology {
        let mut services: Vec<Service> = Vec::new();
        for ((layer, service, api), node) in self.nodes {
            if api == 0 {
                services.push(Service { name: service_name(layer, service), apis: Vec::new() });
            }
            let child = |((layer, service, api), probability): (Spot, f64)| Child {
                service: service_name(layer, service),
                api: APIS[api].to_owned(),
                probability,
            };
            let children = node.calls.into_iter().map(child).collect();
            if let Some(service) = services.last_mut() {
                service.apis.push(Api { name: APIS[api].to_owned(), exec_us: node.exec_us, children });
            }
        }
        let entry = Endpoint { service: service_name(0, 0), api: APIS[0].to_owned() };
        Topology { name: "synthetic93".to_owned(), entry, services }
    }
}

fn service_name(layer: usize, service: usize) -> String {
    let (name, n_services) = LAYERS[layer];
    if n_services == 1 { name.to_owned() } else { format!("{name}-{service:02}") }
}

#[cfg(test)]
mod tests;
