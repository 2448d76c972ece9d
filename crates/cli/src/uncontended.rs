//! What a lock costs that nobody else wants.

use std::fmt::Write as _;

use pvqspin_report::Machine;
use pvqspin_uncontended::{Cost, Plan, measure};

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
        "\nns for lock plus unlock plus the gap; to native, over native: medians over the rounds\n",
    )
}

fn table(plan: &Plan, costs: &[Cost]) -> String {
    let mut text = format!(
        "\ngap {} ({} rounds of {} pairs)\n {:<26} {:>10} {:>10} {:>10} {:>12}\n",
        plan.gap, plan.rounds, plan.pairs, "lock", "median", "fastest", "to native", "over native"
    );
    for cost in costs {
        let _ = writeln!(
            text,
            " {:<26} {:>7.2} ns {:>7.2} ns {:>9.2}x {:>+9.2} ns",
            cost.name, cost.median_ns, cost.min_ns, cost.to_native, cost.over_native_ns
        );
    }
    text
}
