//! What a neighbour is entitled to.

use pvqspin_host::Scheduling;

use crate::config::RunConfig;

/// The pCPUs that a neighbour's weight entitles it to, in pCPUs. A VM cannot use more than it
/// has vCPUs; what one leaves is the other's.
/// `None` without a neighbour.
#[must_use]
pub fn neighbour_share(config: &RunConfig) -> Option<f64> {
    let neighbour = config.neighbour?;
    let weighs = |weight: u32| match config.scheduling {
        // Round robin knows no weights, and gangs take turns whatever they weigh.
        Scheduling::RoundRobin => 1.0,
        _ => f64::from(weight),
    };
    let pcpus = config.pcpus as f64;
    let (ours, theirs) = (config.vcpus as f64, neighbour.vcpus as f64);
    let our_weight = ours * weighs(config.weight);
    let their_weight = theirs * weighs(neighbour.weight);
    let by_weight = pcpus * their_weight / (our_weight + their_weight);
    let left_over = pcpus - ours;
    Some(by_weight.max(left_over).min(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin_load::{NeighbourKind, NeighbourVm};

    #[test]
    fn a_neighbours_share_follows_weights_and_what_can_be_used() {
        let share = |pcpus, vcpus, neighbours, weight, scheduling| {
            neighbour_share(&RunConfig {
                pcpus,
                vcpus,
                scheduling,
                weight: 100,
                neighbour: Some(NeighbourVm {
                    kind: NeighbourKind::Busy,
                    vcpus: neighbours,
                    weight,
                }),
                ..RunConfig::default()
            })
        };
        assert_eq!(share(2, 4, 4, 100, Scheduling::Fair), Some(1.0));
        assert_eq!(share(2, 4, 4, 300, Scheduling::Fair), Some(1.5));
        assert_eq!(share(2, 4, 4, 300, Scheduling::RoundRobin), Some(1.0));
        assert_eq!(share(4, 1, 4, 100, Scheduling::Fair), Some(3.2));
        assert_eq!(share(4, 1, 2, 100, Scheduling::Fair), Some(2.0));
        assert_eq!(share(4, 1, 4, 1, Scheduling::Fair), Some(3.0));
        assert_eq!(neighbour_share(&RunConfig::default()), None);
    }
}
