//! Packs a body piece by piece.
//!
//! Owns the libraries' settings, which bound what one response costs: levels and windows keep an encoder
//! to one mebibyte or two, four at the best level, and a chunk of 64 KiB to a few milliseconds. Pure: bytes in, bytes out. Follows RFC 1952, RFC
//! 7932, RFC 8878 and RFC 9659.

use std::io::{self, Write};

use bytes::Bytes;
use fluxheim_config::{Coding, CompressionLevel};

/// A body being packed.
pub struct Encoder(Packer);

enum Packer {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// An encoder for one body.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(coding: Coding, level: CompressionLevel) -> io::Result<Self> {
        let packer = match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(of(level, [1, 5, 9]));
                Packer::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
            Coding::Brotli => {
                let quality = of(level, [1, 4, 6]);
                let window = of(level, [17, 17, 18]);
                let writer = brotli::CompressorWriter::new(Vec::new(), BUFFER, quality, window);
                Packer::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), of(level, [1, 3, 7]))?;
                encoder.window_log(of(level, [17, 17, 18]))?;
                Packer::Zstd(encoder)
            }
        };
        Ok(Self(packer))
    }

    /// Takes `input`; gives what of the packed body is ready, which may be nothing. With `flush`, all that
    /// went in so far comes out, for a reader who waits for it.
    ///
    /// # Errors
    /// The library's; none is known for input of any kind.
    pub fn push(&mut self, input: &[u8], flush: bool) -> io::Result<Bytes> {
        fn feed<W: Write>(writer: &mut W, input: &[u8], flush: bool) -> io::Result<()> {
            writer.write_all(input)?;
            if flush { writer.flush() } else { Ok(()) }
        }
        let out = match &mut self.0 {
            Packer::Gzip(encoder) => {
                feed(encoder, input, flush)?;
                std::mem::take(encoder.get_mut())
            }
            Packer::Brotli(encoder) => {
                feed(encoder.as_mut(), input, flush)?;
                std::mem::take(encoder.get_mut())
            }
            Packer::Zstd(encoder) => {
                feed(encoder, input, flush)?;
                std::mem::take(encoder.get_mut())
            }
        };
        Ok(Bytes::from(out))
    }

    /// The rest of the packed body.
    ///
    /// # Errors
    /// As of [`Encoder::push`].
    pub fn finish(self) -> io::Result<Bytes> {
        let out = match self.0 {
            Packer::Gzip(encoder) => encoder.finish()?,
            // Only this ends the stream; flushing leaves it open, and readers call it cut.
            Packer::Brotli(encoder) => encoder.into_inner(),
            Packer::Zstd(encoder) => encoder.finish()?,
        };
        Ok(Bytes::from(out))
    }
}

/// The setting that stands for `level` in a library's own numbers.
const fn of<T: Copy>(level: CompressionLevel, [fast, balanced, best]: [T; 3]) -> T {
    match level {
        CompressionLevel::Fast => fast,
        CompressionLevel::Balanced => balanced,
        CompressionLevel::Best => best,
    }
}

/// Bytes that the brotli writer moves at once.
const BUFFER: usize = 4096;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn unpacked(coding: Coding, packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(packed).read_to_end(&mut plain),
            Coding::Brotli => brotli::Decompressor::new(packed, 4096).read_to_end(&mut plain),
            Coding::Zstd => zstd::stream::read::Decoder::new(packed).unwrap().read_to_end(&mut plain),
        }
        .unwrap_or_else(|error| panic!("{coding:?}: {error}"));
        plain
    }

    /// As far as it can be read.
    fn readable(coding: Coding, packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut reader: Box<dyn Read + '_> = match coding {
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(packed)),
            Coding::Brotli => Box::new(brotli::Decompressor::new(packed, 4096)),
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(packed).unwrap()),
        };
        let mut room = [0; 512];
        while let Ok(got @ 1..) = reader.read(&mut room) {
            plain.extend_from_slice(&room[..got]);
        }
        plain
    }

    fn text() -> Vec<u8> {
        (0..40_000).flat_map(|n: u32| format!("line {} of {n}\n", n % 97).into_bytes()).collect()
    }

    #[test]
    fn what_is_packed_unpacks_to_the_same() {
        let text = text();
        for coding in Coding::ALL {
            for level in CompressionLevel::ALL {
                for chunk in [1000, 65_536, text.len()] {
                    let mut encoder = Encoder::new(coding, level).unwrap();
                    let mut packed = Vec::new();
                    for (index, piece) in text.chunks(chunk).enumerate() {
                        packed.extend_from_slice(&encoder.push(piece, index % 3 == 0).unwrap());
                    }
                    packed.extend_from_slice(&encoder.finish().unwrap());
                    assert_eq!(unpacked(coding, &packed), text, "{coding:?} {level:?} {chunk}");
                    assert!(packed.len() * 2 < text.len(), "{coding:?} {level:?}: {}", packed.len());
                }
            }
        }
    }

    #[test]
    fn an_empty_body_is_a_whole_one() {
        for coding in Coding::ALL {
            let encoder = Encoder::new(coding, CompressionLevel::Balanced).unwrap();
            assert_eq!(unpacked(coding, &encoder.finish().unwrap()), b"");
        }
    }

    #[test]
    fn what_is_flushed_can_be_read_at_once() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, CompressionLevel::Balanced).unwrap();
            let mut packed = encoder.push(b"first words", true).unwrap().to_vec();
            assert_eq!(readable(coding, &packed), b"first words", "{coding:?}");
            packed.extend_from_slice(&encoder.push(b", and more", true).unwrap());
            assert_eq!(readable(coding, &packed), b"first words, and more", "{coding:?}");
        }
    }
}
