//! Claims about the model's pool.

use super::{HindsightModel, N_BUFFERS, Op, Peer};

/// Over any mix of measurements, every buffer is in exactly one of: available, complete, retained.
#[test]
fn no_buffer_is_lost_or_doubled() {
    let model = HindsightModel::default();
    for op in [Op::BeginEnd, Op::Event { payload: 2048 }, Op::Visit { events: 10 }, Op::Span, Op::Attr] {
        let measured = model.measure(op, 2, 4000).expect("measures");
        assert!(measured.cpu_ns > 0.0 && (0.0..=1.0).contains(&measured.lost_share), "{op:?}: {measured:?}");
    }
    let pool = model.pool.borrow();
    let pool = pool.as_ref().expect("mapped by the measurements");
    let mut ids: Vec<u64> = pool.retained.iter().copied().collect();
    ids.extend(std::iter::from_fn(|| pool.available().pop()).map(|[id, _]| id));
    ids.extend(std::iter::from_fn(|| pool.complete().pop()).map(|[id, _]| id));
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..N_BUFFERS as u64), "{} ids", ids.len());
}
