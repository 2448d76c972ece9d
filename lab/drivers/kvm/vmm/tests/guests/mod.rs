//! A KVM and a guest image to test with, if this machine has them.

use std::sync::OnceLock;

use pvqspin_kvm::{Guest, Image, KvmHost, Probe, Unavailable};
use pvqspin_kvm_boot::Transport;
use pvqspin_real_time::skipped::skipped;

/// KVM, and a guest as the probe chooses it.
pub(crate) struct Rig {
    pub(crate) host: KvmHost,
    pub(crate) guest: Guest,
}

/// `None`, and a word on standard error, where there is no KVM. A KVM that is there and does not
/// work, or an image that cannot be built, is a failure.
pub(crate) fn rig() -> Option<&'static Rig> {
    static RIG: OnceLock<Option<Rig>> = OnceLock::new();
    RIG.get_or_init(|| {
        let host = match KvmHost::open() {
            Ok(host) => host,
            Err(reason @ (Unavailable::NoDevice | Unavailable::NoPermission(_))) => {
                skipped("kvm", &reason);
                return None;
            }
            Err(reason) => panic!("{reason}"),
        };
        let path = pvqspin_guest_image::up_to_date(|| eprintln!("building the guest image"));
        let image = Image::open(&path.expect("cargo is there, it runs this test")).expect("fits");
        let probe = Probe::run(&host, &image);
        eprintln!("{probe}");
        assert!(probe.works(), "{probe}");
        let choice = probe.choice();
        let guest = Guest {
            image,
            transport: Transport::Doorbell,
            cpl: choice.cpl,
        };
        Some(Rig { host, guest })
    })
    .as_ref()
}
