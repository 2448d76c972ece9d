use super::*;

fn spread(median: f64) -> Spread {
    Spread::of([median - 1.0, median, median + 2.0])
}

fn line(cpus: Pair, ns: f64) -> Line {
    let ns = spread(ns);
    Line { cpus, ns }
}

fn calibration() -> Calibration {
    Calibration {
        atomic: spread(7.0),
        layout: None,
        line: Apart {
            same_socket: Some(line((0, 1), 80.0)),
            ..Apart::default()
        },
        switch: spread(40.4),
        hypercall: spread(120.0),
        poke: Some(spread(1_900.0)),
        poke_send: Some(spread(900.0)),
        poke_lost: Some(spread(1_200.0)),
        about: "a machine of two CPUs".to_owned(),
    }
}

#[test]
fn the_file_is_a_profile_with_the_medians_and_their_spread() {
    let calibration = calibration();
    let text = calibration.file(1_000);
    let profile = Profile::parse(&text).expect("the simulator reads it");
    assert_eq!(profile, calibration.profile(1_000));
    let costs = profile.costs;
    assert_eq!(
        (costs.atomic_ns, costs.switch_ns, costs.hypercall_ns),
        (7, 40, 1_120)
    );
    assert_eq!(costs.line.same_socket_ns, 80);
    assert_eq!((costs.poke_send_ns, costs.interrupt_ns), (900, 1_200));
    assert!(text.contains("79 to 82 ns"), "{text}");
    let costs_without_comment = text
        .lines()
        .filter(|line| line.contains("_ns = ") && !line.contains('#'));
    assert_eq!(costs_without_comment.count(), 0, "{text}");
}

#[test]
fn each_distance_has_its_own_cost_and_says_between_whom() {
    let layout = Layout::of(&[
        (0, 0),
        (0, 1),
        (1, 2),
        (1, 3),
        (0, 0),
        (0, 1),
        (1, 2),
        (1, 3),
    ]);
    let calibration = Calibration {
        layout: Some(layout),
        line: Apart {
            same_core: Some(line((0, 4), 12.0)),
            same_socket: Some(line((0, 1), 50.0)),
            other_socket: Some(line((0, 2), 140.0)),
        },
        ..calibration()
    };
    let text = calibration.file(0);
    let profile = Profile::parse(&text).expect("the simulator reads it");
    let LineCosts {
        same_core_ns,
        same_socket_ns,
        other_socket_ns,
        ..
    } = profile.costs.line;
    assert_eq!(
        (same_core_ns, same_socket_ns, other_socket_ns),
        (12, 50, 140)
    );
    assert_eq!(profile.pcpus(), Some(8));
    for said in [
        "CPUs 0 and 4, threads of a core",
        "CPUs 0 and 1, cores of a socket",
        "CPUs 0 and 2, on two sockets",
    ] {
        assert!(text.contains(said), "no {said} in {text}");
    }
    // CPU 1 is not the second thread of core 0, as pCPU 1 of the topology would be.
    let in_order = calibration.profile_in_cpu_order(0);
    assert_eq!(
        (in_order.topology, in_order.costs.line.same_socket_ns),
        (None, 50)
    );
}

#[test]
fn two_threads_of_a_core_are_not_taken_for_two_cores() {
    let calibration = Calibration {
        layout: Some(Layout::of(&[(0, 0), (0, 0)])),
        line: Apart {
            same_core: Some(line((0, 1), 12.0)),
            ..Apart::default()
        },
        ..calibration()
    };
    let text = calibration.file(0);
    for said in [
        "no two of the allowed CPUs are cores of a socket: as same_core_ns",
        "no two of the allowed CPUs are on two sockets: as same_socket_ns",
        "threads = 2",
    ] {
        assert!(text.contains(said), "no {said} in {text}");
    }
    let in_order = calibration.profile_in_cpu_order(0);
    assert_eq!(in_order, calibration.profile(0), "the topology's own order");
    assert_eq!(in_order.costs.line.other_socket_ns, 12);
}

#[test]
fn what_the_system_does_not_tell_is_said() {
    let text = calibration().file(0);
    assert!(
        text.contains("CPUs 0 and 1 (the system does not tell"),
        "{text}"
    );
    assert!(
        text.contains("# No [topology]: the system does not tell"),
        "{text}"
    );
    assert_eq!(Profile::parse(&text).expect("a profile").topology, None);
}

#[test]
fn a_measurement_that_other_work_stretched_says_so() {
    let poke = Some(Spread::of([2_000.0, 2_100.0, 8_000_000.0]));
    let calibration = Calibration {
        poke,
        ..calibration()
    };
    assert_eq!(calibration.file(0).matches("DISTURBED").count(), 1);
}

#[test]
fn with_one_cpu_the_rest_is_the_default() {
    let calibration = Calibration {
        line: Apart::default(),
        poke: None,
        poke_send: None,
        poke_lost: None,
        ..calibration()
    };
    let (profile, default) = (calibration.profile(0), Costs::default());
    assert_eq!(
        profile.costs.line.same_socket_ns,
        default.line.same_socket_ns
    );
    assert_eq!(profile.costs.poke_ns, default.poke_ns);
    assert_eq!(profile.costs.interrupt_ns, default.interrupt_ns);
    assert!(Profile::parse(&calibration.file(0)).is_ok());
}
