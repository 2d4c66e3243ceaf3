use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const ALLOWANCE: Allowance =
    Allowance { resets: 20, control_frames: 50, min_body_rate: Some(500), bodies: 8 };

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [&[l0, l1, l2, kind, flags, s0, s1, s2, s3], payload].concat()
}

fn begun() -> Watch {
    let mut watch = Watch::new(ALLOWANCE);
    watch.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    watch
}

#[test]
fn ends_what_is_reset_as_fast_as_it_is_opened() {
    let mut watch = begun();
    let rapid =
        |stream: u32| [frame(HEADERS, 5, stream, b"x"), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    for number in 0..20 {
        watch.received(&rapid(2 * number + 1)).unwrap();
    }
    assert_eq!(watch.received(&rapid(41)), Err(Flood::Resets));
    let mut watch = begun();
    for number in 0..1000_u32 {
        // One in two is answered: a page that is left while it loads.
        watch.sent(&frame(HEADERS, 5, 4 * number + 1, b"x")).unwrap();
        watch.received(&rapid(4 * number + 3)).unwrap();
    }
    let mut watch = begun();
    for number in 0..200 {
        watch.received(&rapid(2 * number + 1)).unwrap();
        if number % 20 == 19 {
            watch.turn();
        }
    }
}

#[test]
fn ends_what_makes_us_reset_but_not_our_own_troubles() {
    let mut watch = begun();
    for number in 0..100 {
        watch.sent(&frame(RST_STREAM, 0, 2 * number + 1, &[0, 0, 0, 2])).unwrap();
    }
    for number in 0..20 {
        watch.sent(&frame(RST_STREAM, 0, 2 * number + 1, &[0, 0, 0, 3])).unwrap();
    }
    assert_eq!(watch.sent(&frame(RST_STREAM, 0, 99, &[0, 0, 0, 1])), Err(Flood::OwnResets));
}

#[test]
fn ends_control_frames_that_no_data_goes_with() {
    for kind in [2, 4, 6, 7, 8, 9, 16, 255] {
        let mut watch = begun();
        let flood = frame(kind, 0, 0, &[0; 8]);
        for _ in 0..50 {
            watch.received(&flood).unwrap();
        }
        assert_eq!(watch.received(&flood), Err(Flood::ControlFrames), "{kind}");
        let mut watch = begun();
        for _ in 0..1000 {
            watch.sent(&frame(DATA, 0, 1, b"data")).unwrap();
            watch.received(&flood.repeat(10)).unwrap();
        }
    }
}

#[test]
fn names_bodies_that_come_too_slowly_for_a_whole_window() {
    let mut watch = begun();
    for stream in [1, 3, 5, 7, 9] {
        watch.received(&frame(HEADERS, 4, stream, b"x")).unwrap();
    }
    assert!(watch.turn().is_empty(), "the first window is nobody's whole one");
    // 1 trickles, 3 is fast enough, 5 has been answered, 7 waits for us, 9 ends.
    watch.received(&frame(DATA, 0, 1, b"x")).unwrap();
    watch.received(&frame(DATA, 0, 3, &[0; 5000])).unwrap();
    watch.sent(&frame(HEADERS, 4, 5, b"x")).unwrap();
    for _ in 0..4 {
        watch.received(&frame(DATA, 0, 7, &[0; 16_000])).unwrap();
    }
    watch.received(&frame(DATA, END_STREAM, 9, b"")).unwrap();
    assert_eq!(watch.turn(), [1]);
    assert_eq!(watch.turn(), [3], "7 still waits for us");
    watch.sent(&frame(WINDOW_UPDATE, 0, 7, &64_000_u32.to_be_bytes())).unwrap();
    assert!(watch.turn().is_empty(), "it had no window of its own yet");
    assert_eq!(watch.turn(), [7]);
    assert!(!watch.awaits_body());
}

#[test]
fn remembers_no_more_bodies_than_there_may_be() {
    let mut watch = begun();
    for stream in 0..8 {
        watch.received(&frame(HEADERS, 4, 2 * stream + 1, b"x")).unwrap();
    }
    watch.sent(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 7])).unwrap();
    watch.received(&frame(HEADERS, 4, 17, b"x")).unwrap();
    assert_eq!(watch.received(&frame(HEADERS, 4, 19, b"x")), Err(Flood::Bodies));
}

#[test]
fn knows_where_a_frame_may_be_inserted() {
    let mut watch = begun();
    assert!(watch.may_insert_received() && watch.may_insert_sent());
    watch.received(&frame(DATA, 0, 1, b"abcdefgh")[..12]).unwrap();
    assert!(!watch.may_insert_received());
    watch.received(b"defgh").unwrap();
    assert!(watch.may_insert_received());
    watch.received(&frame(HEADERS, 0, 3, b"x")).unwrap();
    assert!(!watch.may_insert_received(), "a header block is open");
    watch.received(&frame(CONTINUATION, END_HEADERS, 3, b"")).unwrap();
    assert!(watch.may_insert_received());
    assert_eq!(watch.calm_down(), frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 11]));
    assert_eq!(reset(5).to_vec(), frame(RST_STREAM, 0, 5, &[0, 0, 0, 8]));
}

#[test]
fn reads_the_same_in_pieces_of_any_size() {
    let bytes: Vec<u8> = [
        frame(HEADERS, 4, 1, b"head"),
        frame(DATA, 0, 1, b""),
        frame(DATA, 0, 1, b"abc"),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
    ]
    .concat();
    for size in 1..bytes.len() {
        let mut watch = begun();
        bytes.chunks(size).for_each(|piece| watch.received(piece).unwrap());
        let Counts { resets, control, data, .. } = watch.now;
        assert_eq!((resets, control, data, watch.last_stream), (1, 1, 1, 1), "{size}");
        assert!(watch.may_insert_received());
    }
}

#[path = "../../../tests/fuzz/properties/frames.rs"]
mod property;

/// Mostly frames.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let payload = vec(any::<u8>(), 0..9);
    let known = (select(vec![0, 1, 3, 4, 6, 8, 9, 77]), any::<u8>(), 0..6_u32, payload)
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    let piece = prop_oneof![19 => known, 1 => vec(any::<u8>(), 0..4)];
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    vec(piece, 0..16).prop_map(|pieces| [&preface[..], &pieces.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn counts_what_a_reader_of_all_of_it_would(bytes in pieces()) {
        property::holds(&bytes);
    }

    #[test]
    fn survives_any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        property::holds(&bytes);
    }
}
