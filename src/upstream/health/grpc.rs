//! The messages of `grpc.health.v1`, as bytes.
//!
//! Owns the two of them, each a single field in the encoding of protocol buffers behind gRPC's prefix of
//! five bytes (compressed or not, length). Pure.

/// The method.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";
/// The answer is seven bytes, or a few more where a server adds fields.
pub(super) const LONGEST: usize = 1024;

/// `HealthCheckRequest { service }`.
pub(super) fn question(service: &str) -> Vec<u8> {
    // A name is at most 120 bytes, so both lengths fit one byte.
    let length = u8::try_from(service.len()).unwrap_or(0);
    let mut bytes = vec![0, 0, 0, 0, 0];
    if length > 0 {
        bytes.extend([STRING_1, length]);
        bytes.extend(service.as_bytes());
        bytes[4] = length + 2;
    }
    bytes
}

/// What a server answered: its message, and `grpc-status` where that came in place of one.
pub(super) fn judge(answer: &[u8], code: Option<&str>) -> Result<(), String> {
    match (status(answer), code) {
        (Some(SERVING), None | Some("0")) => Ok(()),
        (Some(0), _) => Err("its service says UNKNOWN".to_owned()),
        (Some(2), _) => Err("its service says NOT_SERVING".to_owned()),
        (Some(3), _) => Err("it does not know the service".to_owned()),
        (None, Some("5")) => Err("it does not know the service (grpc-status 5)".to_owned()),
        (None, Some("12")) => Err("it does not offer grpc.health.v1 (grpc-status 12)".to_owned()),
        _ => Err("its answer is none of grpc.health.v1".to_owned()),
    }
}

/// `HealthCheckResponse { status }`; a message without the field says 0.
fn status(answer: &[u8]) -> Option<u8> {
    let (prefix, message) = answer.split_first_chunk::<5>()?;
    let [0, length @ ..] = prefix else { return None };
    let message = message.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    match message {
        [] => Some(0),
        [VARINT_1, status, ..] if *status < 0x80 => Some(*status),
        _ => None,
    }
}

/// Tag of field 1 as a string, and as a number.
const STRING_1: u8 = 0x0a;
const VARINT_1: u8 = 0x08;
const SERVING: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_as_protoc_would_encode_it() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
    }

    #[test]
    fn only_serving_is_well() {
        let answer = |status| [0, 0, 0, 0, 2, 8, status];
        assert_eq!(judge(&answer(1), None), Ok(()));
        assert_eq!(judge(&answer(1), Some("0")), Ok(()));
        assert!(judge(&answer(2), None).unwrap_err().contains("NOT_SERVING"));
        assert!(judge(&[0; 5], None).unwrap_err().contains("UNKNOWN"));
        assert!(judge(&[], Some("12")).unwrap_err().contains("does not offer"));
        for bad in
            [&[][..], &[0, 0], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 9, 8, 1], &[0, 255, 255, 255, 255, 8, 1]]
        {
            assert!(judge(bad, None).is_err(), "{bad:?}");
        }
        assert!(judge(&answer(1), Some("14")).is_err());
    }
}
