//! Bytes as at the start of a connection: a PROXY protocol header ends in the same place however its
//! bytes arrive, what is read can be written and read again, and nothing beyond it is looked at.

use super::{Ends, Form, Malformed, Read, read, write};

/// Fails where one of these does not hold; what was read.
pub(crate) fn holds(bytes: &[u8]) -> Result<Read, Malformed> {
    let outcome = read(bytes);
    match outcome {
        Ok(Read::Header { len, ends }) => {
            assert!(len <= bytes.len());
            assert_eq!(read(&bytes[..len]), outcome, "what follows makes a difference");
            // Nothing shorter is a header, and nothing shorter is refused.
            (0..len).for_each(|cut| assert_eq!(read(&bytes[..cut]), Ok(Read::More), "cut at {cut}"));
            again(ends);
        }
        Ok(Read::More) => {
            (0..bytes.len()).for_each(|cut| assert_eq!(read(&bytes[..cut]), Ok(Read::More), "cut at {cut}"));
        }
        Err(malformed) => {
            let longer = [bytes, b"\r\n\0x"].concat();
            assert_eq!(read(&longer), Err(malformed), "more bytes mend it");
        }
    }
    outcome
}

fn again(ends: Option<Ends>) {
    for form in [Form::Text, Form::Binary] {
        let written = write(form, ends);
        let Ok(Read::Header { len, ends: told }) = read(&written) else { panic!("{written:?}") };
        assert_eq!(len, written.len());
        let plain = |ends: Ends| (ends.source.ip().to_canonical(), ends.source.port());
        assert_eq!(told.map(plain), ends.map(plain));
    }
}
