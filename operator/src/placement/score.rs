//! The order among hypervisors that fit: best fit, so that large holes stay
//! for large servers.

use super::{Candidate, Demand};

/// What would be left over of memory and CPU together, in thousandths of the
/// hypervisor each. Smaller is better; the name decides between equals, so
/// that the same input always gives the same answer.
pub fn waste<'a>(candidate: &'a Candidate, demand: &Demand) -> (i64, &'a str) {
    let left = candidate.free.minus(demand.amounts);
    let memory = share(left.memory_bytes, candidate.total.memory_bytes);
    let cpu = share(left.cpu_millis, candidate.total.cpu_millis);
    (memory.saturating_add(cpu), candidate.node.as_str())
}

fn share(left: i64, total: i64) -> i64 {
    let thousandths = i128::from(left.max(0)) * 1000 / i128::from(total.max(1));
    i64::try_from(thousandths).unwrap_or(i64::MAX)
}
