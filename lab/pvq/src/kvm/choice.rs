//! How guests run on KVM: what the options ask for, what the probe has found, and what comes of both.

use core::fmt;
use std::collections::BTreeMap;

use pvqspin_kvm::{Cpl, Probe, Tried, Unavailable};
use pvqspin_kvm_boot::Transport;
use serde_json::{Value, json};

use crate::options::kvm::{HintsName, KvmArgs, TransportName};
use crate::output::failure::Failure;

/// What the options ask for.
#[derive(Debug)]
pub(crate) struct Wishes {
    transport: Option<TransportName>,
    hints: Vec<HintsName>,
    cpl: Option<Cpl>,
}

/// How guests are going to run.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// One for each variant of a run.
    pub(crate) transports: Vec<Transport>,
    pub(crate) cpl: Cpl,
    pub(crate) why: &'static str,
}

impl Wishes {
    /// What the options ask for, if it makes sense.
    ///
    /// # Errors
    ///
    /// If an option would have no effect.
    pub(crate) fn of(args: &KvmArgs) -> Result<Self, Failure> {
        let setup = &args.compare.setup;
        if setup.hypercall_cost.is_some() {
            return Err(Failure::bad_input(
                "--hypercall-cost is for the embedded hypervisor and the simulator: in a virtual \
                 machine an exit costs what it costs",
            ));
        }
        let is_stock = args.transport == Some(TransportName::Stock);
        if !args.hints.is_empty() && !is_stock {
            return Err(Failure::bad_input(
                "--hints says what a guest tells KVM, so it needs --transport stock; the doorbell's \
                 host is told everything",
            ));
        }
        let ours = [
            ("--scheduling", setup.scheduling.is_some()),
            ("--yields", setup.yields.is_some()),
            ("--slice", setup.slice.is_some()),
            ("--min-loan", setup.min_loan.is_some()),
        ];
        if let Some((option, _)) = ours.iter().find(|(_, given)| is_stock && *given) {
            return Err(Failure::bad_input(format!(
                "{option} is for the host of pvqspin: with --transport stock Linux schedules the vCPUs"
            )));
        }
        let mut hints = Vec::new();
        for &name in &args.hints {
            if !hints.contains(&name) {
                hints.push(name);
            }
        }
        if hints.is_empty() {
            hints.push(HintsName::Yield);
        }
        Ok(Self {
            transport: args.transport,
            hints,
            cpl: args.cpl.as_deref().map(|level| match level {
                "0" => Cpl::Zero,
                _ => Cpl::Three,
            }),
        })
    }

    /// The transports, one for each variant of a run.
    pub(crate) fn transports(&self) -> Vec<Transport> {
        match self.transport {
            Some(TransportName::Stock) => (self.hints.iter())
                .map(|hints| match hints {
                    HintsName::Yield => Transport::Stock,
                    HintsName::Kick => Transport::StockKicks,
                    HintsName::Off => Transport::StockSilent,
                })
                .collect(),
            // There is no third, and the probe takes the doorbell wherever it works.
            Some(TransportName::Doorbell) | None => vec![Transport::Doorbell],
        }
    }

    /// How guests run: as the probe says, unless the options say otherwise. `lacks` is what KVM would
    /// have to offer for the stock transport and does not.
    ///
    /// # Errors
    ///
    /// If that cannot work here.
    pub(crate) fn chosen(
        &self,
        probe: &Probe,
        lacks: Option<&'static str>,
    ) -> Result<Chosen, Failure> {
        let choice = probe.choice();
        let transports = self.transports();
        if transports.iter().any(|transport| transport.is_stock()) {
            if let Some(what) = lacks {
                return Err(Failure::bad_input(Unavailable::NoStock(what)));
            }
            if let Tried::Fails(why) = &probe.hypercall {
                return Err(Failure::bad_input(format!(
                    "the stock transport needs KVM's hypercalls, and one that was tried here fails \
                     ({why}); the doorbell (--transport doorbell) needs nothing of the kind"
                )));
            }
        } else if !probe.works() {
            return Err(Failure::bad_input(format!(
                "guests do not run on this /dev/kvm: {probe}"
            )));
        }
        let usual = match transports[0].is_stock() {
            // KVM takes hypercalls from there only.
            true => Cpl::Zero,
            false => choice.cpl,
        };
        let asked = self.transport.is_some() || self.cpl.is_some();
        Ok(Chosen {
            transports,
            cpl: self.cpl.unwrap_or(usual),
            why: if asked {
                "the options say so"
            } else {
                choice.why
            },
        })
    }
}

impl Chosen {
    /// Whether Linux schedules the vCPUs.
    pub(crate) fn is_stock(&self) -> bool {
        self.transports.iter().any(|transport| transport.is_stock())
    }

    /// Puts it, and what the probe found, among the options of a report; and takes away what they say of
    /// a host that is not ours.
    pub(crate) fn tell(&self, probe: &Probe, options: &mut BTreeMap<String, Value>) {
        options.remove("hypercall_cost_ns");
        if self.is_stock() {
            for ours in ["scheduling", "yields", "slice_ns", "min_loan_ns"] {
                options.remove(ours);
            }
        }
        let names: Vec<&str> = self.transports.iter().map(|one| one.name()).collect();
        let found = |tried: &Tried| match tried {
            Tried::Works { ns } => json!(ns),
            Tried::Fails(why) => json!(why),
        };
        options.insert("transports".to_owned(), names.into());
        options.insert("cpl".to_owned(), self.cpl.number().into());
        options.insert("chosen_because".to_owned(), self.why.into());
        options.insert(
            "probe_ns".to_owned(),
            json!({
                "turn_here": probe.turn_here_ns,
                "turn_at_cpl_0": found(&probe.turn_at_cpl_0),
                "turn_at_cpl_3": found(&probe.turn_at_cpl_3),
                "port_exit": found(&probe.ring),
                "kvm_hypercall": found(&probe.hypercall),
            }),
        );
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.transports.iter().map(|one| one.name()).collect();
        write!(f, "{} at CPL {}", names.join(", "), self.cpl.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn wishes(options: &[&str]) -> Result<Wishes, String> {
        let line = ["pvq", "kvm"].iter().chain(options);
        let cli = Cli::try_parse_from(line).expect("well formed");
        let Some(Command::Kvm(args)) = cli.command else {
            panic!("another command");
        };
        Wishes::of(&args).map_err(|failure| format!("{failure:?}"))
    }

    fn probe(hypercall: Tried) -> Probe {
        Probe {
            turn_here_ns: 1.0,
            turn_at_cpl_0: Tried::Works { ns: 1.0 },
            turn_at_cpl_3: Tried::Works { ns: 1.0 },
            ring: Tried::Works { ns: 1_500.0 },
            hypercall,
        }
    }

    #[test]
    fn an_option_that_nobody_would_hear_is_refused() {
        for (options, said) in [
            (&["--hypercall-cost", "1us"][..], "costs what it costs"),
            (&["--hints", "off"], "needs --transport stock"),
            (
                &["--transport", "doorbell", "--hints", "yield"],
                "needs --transport stock",
            ),
            (
                &["--transport", "stock", "--scheduling", "fair"],
                "--scheduling is for the host of pvqspin",
            ),
            (
                &["--transport", "stock", "--slice", "1ms"],
                "--slice is for the host of pvqspin",
            ),
        ] {
            let error = wishes(options).expect_err(said);
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_stock_transport_needs_what_kvm_may_lack_and_the_doorbell_does_not() {
        let works = probe(Tried::Works { ns: 900.0 });
        let fails = probe(Tried::Fails("it does not come back".to_owned()));
        let stock = wishes(&["--transport", "stock"]).expect("makes sense");
        let error = |probe, lacks| {
            let failure = stock.chosen(probe, lacks).expect_err("cannot work");
            format!("{failure:?}")
        };
        assert!(error(&works, Some("PV_UNHALT")).contains("needs PV_UNHALT"));
        assert!(error(&fails, None).contains("does not come back"));
        let doorbell = wishes(&[]).expect("makes sense");
        let chosen = doorbell.chosen(&fails, Some("PV_UNHALT"));
        assert!(!chosen.expect("works").is_stock());
    }

    #[test]
    fn hints_are_compared_in_the_order_given_each_once() {
        let line = ["--transport", "stock", "--hints", "off,yield,off"];
        let wishes = wishes(&line).expect("makes sense");
        assert_eq!(
            wishes.transports(),
            [Transport::StockSilent, Transport::Stock]
        );
        let works = probe(Tried::Works { ns: 900.0 });
        let chosen = wishes.chosen(&works, None).expect("works");
        let mut options = BTreeMap::from([("slice_ns".to_owned(), json!(3))]);
        chosen.tell(&works, &mut options);
        assert_eq!(options["cpl"], 0);
        assert_eq!(options["transports"].as_array().map(Vec::len), Some(2));
        assert_eq!(options["probe_ns"]["kvm_hypercall"], 900.0);
        assert!(!options.contains_key("slice_ns"), "Linux has its own");
    }
}
