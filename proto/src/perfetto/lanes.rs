//! Lanes: slices of one thread spread over tracks so that on each of them they nest. Pure; called by the conversion.

/// A slice from its start to its end, never before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Interval {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Where a slice begins and ends on its lane, by its position in the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Edge {
    Begin(usize),
    End(usize),
}

/// Returns for each lane its edges in order. Lane 0 is the thread itself; a slice goes to the first lane on which it nests.
pub(super) fn lanes(intervals: &[Interval]) -> Vec<Vec<Edge>> {
    let mut order: Vec<usize> = (0..intervals.len()).collect();
    order.sort_by_key(|idx| (intervals[*idx].start, std::cmp::Reverse(intervals[*idx].end), *idx));
    let mut lanes: Vec<(Vec<usize>, Vec<Edge>)> = Vec::new();
    for idx in order {
        let lane = lanes.iter_mut().find_map(|(open, edges)| {
            close(open, edges, intervals, intervals[idx].start);
            let is_inside = open.last().is_none_or(|outer| intervals[idx].end <= intervals[*outer].end);
            is_inside.then_some((open, edges))
        });
        match lane {
            Some((open, edges)) => {
                open.push(idx);
                edges.push(Edge::Begin(idx));
            }
            None => lanes.push((vec![idx], vec![Edge::Begin(idx)])),
        }
    }
    let ended = lanes.into_iter().map(|(mut open, mut edges)| {
        close(&mut open, &mut edges, intervals, u64::MAX);
        edges
    });
    ended.collect()
}

/// Ends the open slices that end at `until` or before.
fn close(open: &mut Vec<usize>, edges: &mut Vec<Edge>, intervals: &[Interval], until: u64) {
    while let Some(idx) = open.pop_if(|idx| intervals[*idx].end <= until) {
        edges.push(Edge::End(idx));
    }
}

#[cfg(test)]
mod tests {
    use super::{Edge, Interval, lanes};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn interval(start: u64, end: u64) -> Interval {
        Interval { start, end }
    }

    #[test]
    fn what_overlaps_without_nesting_gets_a_lane_of_its_own() {
        use Edge::{Begin, End};
        let nested = [interval(0, 10), interval(2, 4), interval(4, 4), interval(4, 10)];
        assert_eq!(lanes(&nested), [vec![Begin(0), Begin(1), End(1), Begin(3), Begin(2), End(2), End(3), End(0)]]);
        let crossed = [interval(0, 10), interval(5, 15), interval(10, 12)];
        assert_eq!(lanes(&crossed), [vec![Begin(0), End(0), Begin(2), End(2)], vec![Begin(1), End(1)]]);
    }

    proptest! {
        /// For any intervals: each begins and ends once, on one lane, in order of time, and ends are of what began last.
        #[test]
        fn lanes_nest(raw in proptest::collection::vec((0_u64..40, 0_u64..10), 0..60), _ in any::<u8>()) {
            let intervals: Vec<_> = raw.iter().map(|(start, len)| interval(*start, start + len)).collect();
            let mut n = 0;
            for lane in lanes(&intervals) {
                let (mut open, mut now) = (Vec::new(), 0);
                for edge in lane {
                    let at = match edge {
                        Edge::Begin(idx) => { open.push(idx); n += 1; intervals[idx].start }
                        Edge::End(idx) => { prop_assert_eq!(open.pop(), Some(idx)); intervals[idx].end }
                    };
                    prop_assert!(at >= now);
                    now = at;
                }
                prop_assert!(open.is_empty());
            }
            prop_assert_eq!(n, intervals.len());
        }
    }
}
