use super::*;
use crate::samples;

fn written() -> (Vec<u8>, Vec<Packet>) {
    let about = vec![("command".to_owned(), "pvq trace".to_owned())];
    let mut bytes = Vec::new();
    write(&samples::scene(), &about, &mut bytes).expect("memory takes everything");
    let packets = read(&bytes).expect("what was written");
    (bytes, packets)
}

fn names(packets: &[Packet]) -> HashMap<u64, String> {
    let interned = packets.iter().filter_map(|packet| packet.interned.as_ref());
    let names = interned.flat_map(|interned| &interned.events);
    names
        .filter_map(|name| Some((name.number?, name.name.clone()?)))
        .collect()
}

#[test]
fn the_sample_becomes_slices_arrows_and_counters() {
    let (_, packets) = written();
    let names = names(&packets);
    let events: Vec<(u64, &Event)> = packets
        .iter()
        .filter_map(|packet| Some((packet.timestamp?, packet.event.as_ref()?)))
        .collect();
    let of = |kind: Kind| -> Vec<&(u64, &Event)> {
        let kind = Some(i32::from(kind));
        events.iter().filter(|(_, e)| e.kind == kind).collect()
    };
    let name = |event: &Event| names[&event.name.expect("named")].as_str();
    assert_eq!(of(Kind::Begin).len(), of(Kind::End).len());
    assert!(
        of(Kind::Begin)
            .iter()
            .any(|(_, e)| name(e) == "preempted, holds")
    );
    // cpu1 lends its pCPU at 20 µs of the run's clock, and cpu0 is there at 20 µs.
    let starts: Vec<_> = events.iter().filter(|(_, e)| !e.flows.is_empty()).collect();
    let ends: Vec<_> = events
        .iter()
        .filter(|(_, e)| !e.flow_ends.is_empty())
        .collect();
    assert_eq!((starts.len(), ends.len()), (1, 1));
    assert_eq!((starts[0].0, name(starts[0].1)), (20_000, "yield to"));
    assert_eq!(
        (ends[0].0, &ends[0].1.flow_ends),
        (20_000, &starts[0].1.flows)
    );
    assert!(of(Kind::Counter).iter().any(|(_, e)| e.value == Some(2)));
    let tracks: Vec<String> = packets
        .iter()
        .filter_map(|packet| packet.track.as_ref()?.name.clone())
        .collect();
    for track in ["pcpu0", "pcpu1", "cpu0", "cpu1", "cpu2"] {
        assert!(
            tracks.iter().any(|known| known == track),
            "{track}: {tracks:?}"
        );
    }
}

/// The bytes of a small file, as a reader that knows only the wire format sees them.
#[test]
fn fields_have_the_numbers_that_perfetto_gave_them() {
    let packet = Packet {
        timestamp: Some(1),
        sequence: Some(1),
        event: Some(Event {
            kind: Some(Kind::Begin.into()),
            name: Some(1),
            track: Some(2),
            flows: vec![3],
            ..Event::default()
        }),
        flags: Some(NEEDED),
        ..Packet::default()
    };
    let event = [
        0x48, 1, 0x50, 1, 0x58, 2, 0xfa, 2, 8, 3, 0, 0, 0, 0, 0, 0, 0,
    ];
    let mut bytes = vec![0x40, 1, 0x50, 1, 0x5a, event.len() as u8];
    bytes.extend(event);
    bytes.extend([0x68, 2]);
    assert_eq!(packet.encode_to_vec(), bytes);
    let (file, _) = written();
    assert_eq!(file[0], 0x0a, "a file is a list of packets");
}
