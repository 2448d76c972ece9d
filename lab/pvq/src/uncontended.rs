//! What a lock costs without contention.

use std::fmt::Write as _;

use pvqspin_report::Machine;
use pvqspin_user_space::uncontended::{Cost, Plan, measure};

use crate::args::UncontendedArgs;
use crate::failure::{Done, print};

/// Runs `pvq uncontended`.
pub(crate) fn run(args: &UncontendedArgs) -> Done {
    print(&format!("machine  {}\n", Machine::describe().line()))?;
    for &gap in &args.gap {
        let plan = Plan {
            rounds: args.rounds,
            pairs: args.pairs,
            gap,
        };
        print(&table(&plan, &measure(plan)))?;
    }
    print(
        "\nto native, over native: medians over the rounds of the comparison with native-queued, our lock\n\
         on bare metal, in the same round; median, fastest: ns for lock plus unlock plus the gap. How\n\
         many instructions each executes, exactly: docs/generated/fast-path.md\n",
    )
}

fn table(plan: &Plan, costs: &[Cost]) -> String {
    let mut text = format!(
        "\ngap {} ({} rounds of {} pairs)\n {:<26} {:>10} {:>12} {:>10} {:>10}\n",
        plan.gap, plan.rounds, plan.pairs, "lock", "to native", "over native", "median", "fastest"
    );
    let mut group = None;
    for cost in costs {
        if group.replace(cost.group) != Some(cost.group) {
            let _ = writeln!(text, " {}", cost.group.title());
        }
        let _ = writeln!(
            text,
            "   {:<24} {:>9.2}x {:>+9.2} ns {:>7.2} ns {:>7.2} ns",
            cost.name, cost.to_native, cost.over_native_ns, cost.median_ns, cost.min_ns
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin_user_space::uncontended::Group;

    #[test]
    fn each_group_has_one_heading_above_its_locks() {
        let cost = |name, group| Cost {
            name,
            group,
            median_ns: 5.4,
            min_ns: 5.0,
            to_native: 1.0,
            over_native_ns: 0.0,
        };
        let costs = [
            cost("swap", Group::Floor),
            cost("native", Group::Own),
            cost("fifo", Group::Own),
        ];
        let text = table(&Plan::default(), &costs);
        let first_words: Vec<_> = text
            .lines()
            .skip(3)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(first_words, ["the", "swap", "pvqspin", "native", "fifo"]);
        // Ratios stand before what they are ratios of.
        assert!(
            text.contains("native                        1.00x     +0.00 ns    5.40 ns"),
            "{text}"
        );
    }
}
