//! Prints the costs.
fn main() {
    for gap in [0, 10, 30] {
        println!("gap {gap}");
        for c in pvqspin_uncontended::measure(pvqspin_uncontended::Plan{gap, ..Default::default()}) {
            println!("{:28} {:6.2} ns  min {:6.2}  x{:.3}  {:+.2} ns", c.name, c.median_ns, c.min_ns, c.to_native, c.over_native_ns);
        }
    }
}
