//! Bytes as of an HTTP/2 client: frames are counted as a reader that sees them all at once would, and
//! cutting the bytes in two changes nothing.

use super::{Allowance, Flood, Watch};

const ALLOWANCE: Allowance = Allowance { resets: 3, control_frames: 5, min_body_rate: Some(1), bodies: 2 };
const PREFACE: usize = 24;

/// Fails where the two readers see something else; what the connection is ended for, if it is.
pub(crate) fn holds(bytes: &[u8]) -> Option<Flood> {
    let mut whole = Watch::new(ALLOWANCE);
    let outcome = whole.received(bytes).err();
    let (expected, between) = reference(bytes);
    assert_eq!(outcome, expected);
    if outcome.is_none() {
        assert_eq!(whole.may_insert_received(), between);
    }
    // Made of the bytes, so that a found input does the same again.
    let cut =
        bytes.iter().fold(bytes.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let (first, second) = bytes.split_at(cut % (bytes.len() + 1));
    let mut halves = Watch::new(ALLOWANCE);
    let in_halves = halves.received(first).and_then(|()| halves.received(second)).err();
    assert_eq!(in_halves, outcome, "cut at {}", first.len());
    assert_eq!((halves.calm_down(), halves.turn()), (whole.calm_down(), whole.turn()));
    // Whatever is sent, it is read without a fault too.
    let _ = halves.sent(bytes);
    assert!(halves.turn().len() <= ALLOWANCE.bodies + 1);
    outcome
}

/// The first flood in them, and whether they end between frames and header blocks.
fn reference(bytes: &[u8]) -> (Option<Flood>, bool) {
    let Some(mut rest) = bytes.get(PREFACE..) else { return (None, bytes.len() == PREFACE) };
    let (mut resets, mut control, mut data) = (0, 0, 0);
    let (mut bodies, mut in_block) = (Vec::<u32>::new(), false);
    while let [l0, l1, l2, kind, flags, s0, s1, s2, s3, payload @ ..] = rest {
        let length = usize::from(*l0) << 16 | usize::from(*l1) << 8 | usize::from(*l2);
        if payload.len() < length.min(4) {
            break;
        }
        let stream = u32::from_be_bytes([s0 & 0x7f, *s1, *s2, *s3]);
        let ends = flags & 1 != 0;
        if matches!(kind, 1 | 5 | 9) {
            in_block = flags & 4 == 0;
        }
        match kind {
            0 => {
                data += u32::from(length > 0);
                bodies.retain(|body| !(ends && *body == stream));
            }
            1 => {
                bodies.retain(|body| *body != stream);
                if !ends {
                    bodies.push(stream);
                }
                if bodies.len() > ALLOWANCE.bodies {
                    return (Some(Flood::Bodies), false);
                }
            }
            3 => {
                bodies.retain(|body| *body != stream);
                resets += 1;
                if resets > ALLOWANCE.resets {
                    return (Some(Flood::Resets), false);
                }
            }
            _ => {
                control += 1;
                if control > ALLOWANCE.control_frames + 10 * data {
                    return (Some(Flood::ControlFrames), false);
                }
            }
        }
        match payload.get(length..) {
            Some(after) => rest = after,
            None => return (None, false),
        }
    }
    (None, rest.is_empty() && !in_block)
}
