//! Guests that do what they must not: each ends with a clear message, and the VMM is unharmed.

mod guests;

use std::time::Duration;

use guests::{Rig, rig};
use pvqspin_abi::Cpu;
use pvqspin_kvm::{Fatal, Offence, RunError, trial};
use pvqspin_kvm_boot::boot::Trial;
use pvqspin_kvm_boot::doorbell::PORT;

const PATIENCE: Duration = Duration::from_millis(300);

/// What ended the guest, and where.
fn offence(rig: &Rig, what: Trial) -> (Offence, u64) {
    let error = trial(&rig.host, &rig.guest, what, PATIENCE).expect_err("it does what it must not");
    let text = error.to_string();
    assert!(
        text.contains("vcpu0 (cpu 0)") && text.contains("rip 0x"),
        "{text}"
    );
    match error {
        RunError::Fatal(Fatal::Guest {
            vcpu: 0,
            cpu: Cpu::ZERO,
            offence,
            registers: Some(registers),
        }) => (offence, registers.rip),
        other => panic!("{what:?}: {other}"),
    }
}

#[test]
fn each_offence_is_told_apart_with_the_place() {
    let Some(rig) = rig() else { return };
    let (undefined, _) = offence(rig, Trial::Undefined);
    let Offence::Panic(message) = undefined else {
        panic!("{undefined:?}");
    };
    assert!(
        message.contains("invalid opcode") && message.contains("rip 0x1"),
        "{message}"
    );

    let (no_stack, at) = offence(rig, Trial::NoStack);
    assert_eq!(no_stack, Offence::TripleFault);
    // Some processors forget a vCPU's state as it shuts down; what there is is in the image.
    assert!(at < 0x100_0000, "{at:#x}");

    let (unmapped, at) = offence(rig, Trial::Unmapped);
    let expected = Offence::Unmapped {
        address: 8,
        bytes: 8,
        write: false,
    };
    assert_eq!(unmapped, expected);
    assert!((0x10_0000..0x100_0000).contains(&at), "{at:#x}");

    let (bad_port, _) = offence(rig, Trial::BadPort);
    let port = PORT + 1;
    assert_eq!(bad_port, Offence::BadPort { port, write: true });

    let (bad_ring, _) = offence(rig, Trial::BadRing);
    assert_eq!(bad_ring, Offence::BadRing(vec![0xff; 4]));

    let (panic, _) = offence(rig, Trial::Panic);
    let Offence::Panic(message) = panic else {
        panic!("{panic:?}");
    };
    assert!(message.contains("on purpose"), "{message}");
    // After all that, a guest that behaves runs as if nothing had been.
    trial(&rig.host, &rig.guest, Trial::Rings, PATIENCE).expect("the VMM is unharmed");
}

#[test]
fn a_call_that_makes_no_sense_is_refused_and_the_guest_goes_on() {
    let Some(rig) = rig() else { return };
    trial(&rig.host, &rig.guest, Trial::BadCall, PATIENCE).expect("refused is no offence");
}

#[test]
fn a_guest_that_hangs_or_sleeps_for_ever_ends_with_its_registers() {
    let Some(rig) = rig() else { return };
    for what in [Trial::Hang, Trial::HaltForEver] {
        let error = trial(&rig.host, &rig.guest, what, PATIENCE).expect_err("it never ends");
        let RunError::Stuck(stuck) = error else {
            panic!("{what:?}: {error}");
        };
        let text = stuck.to_string();
        assert!(
            text.contains("no progress for 300ms") && text.contains("rip 0x"),
            "{text}"
        );
        let state = if what == Trial::Hang {
            "running"
        } else {
            "halted"
        };
        assert!(text.contains(state), "{text}");
    }
}
