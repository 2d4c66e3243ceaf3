//! The protocol: commands out, replies in (RESP2, redis.io/docs/latest/develop/reference/protocol-spec).
//!
//! Owns the bytes and their bounds. Why not a client library: the connection is made by us anyway (names
//! by hickory, TLS by our rustls), a handful of commands is used, and no reply may be larger or nested
//! deeper than these commands give, whatever a server that was taken over sends. Pure.

use std::str;

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// `+OK`
    Status(String),
    /// `-ERR …`
    Error(String),
    Number(i64),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Nothing,
}

/// What is no reply, or more than is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it does not speak the Redis protocol")]
    NotRedis,
    #[error("its answer is larger than any that was asked for")]
    TooLarge,
}

/// The first reply in `bytes` and how many it takes; `None` when it is not all there yet.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
    let mut cursor = Cursor { bytes, at: 0, items: 0 };
    let reply = cursor.reply(0)?;
    if reply.is_none() && bytes.len() > MOST_REPLY {
        return Err(Malformed::TooLarge);
    }
    Ok(reply.map(|reply| (reply, cursor.at)))
}

/// A command as the server takes it.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let room = words.iter().map(|word| word.len() + 16).sum::<usize>() + 16;
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl Cursor<'_> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply>, Malformed> {
        self.items += 1;
        if depth > DEEPEST || self.items > MOST_ITEMS {
            return Err(Malformed::TooLarge);
        }
        let Some(line) = self.line()? else { return Ok(None) };
        let (sort, rest) = line.split_at_checked(1).ok_or(Malformed::NotRedis)?;
        match sort {
            "+" => Ok(Some(Reply::Status(rest.to_owned()))),
            "-" => Ok(Some(Reply::Error(rest.to_owned()))),
            ":" => rest.parse().map(|number| Some(Reply::Number(number))).map_err(|_| Malformed::NotRedis),
            "$" => match length(rest, MOST_BYTES)? {
                None => Ok(Some(Reply::Nothing)),
                Some(length) => self.exactly(length).map(|bytes| bytes.map(Reply::Bytes)),
            },
            "*" => match length(rest, MOST_ITEMS)? {
                None => Ok(Some(Reply::Nothing)),
                Some(length) => self.list(length, depth),
            },
            _ => Err(Malformed::NotRedis),
        }
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<Option<Reply>, Malformed> {
        let mut items = Vec::new();
        for _ in 0..length {
            let Some(item) = self.reply(depth + 1)? else { return Ok(None) };
            items.push(item);
        }
        Ok(Some(Reply::List(items)))
    }

    fn line(&mut self) -> Result<Option<String>, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().take(LONGEST_LINE).position(|byte| *byte == b'\r') else {
            return if rest.len() >= LONGEST_LINE { Err(Malformed::NotRedis) } else { Ok(None) };
        };
        match rest.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => {
                self.at += end + 2;
                let line = rest.get(..end).unwrap_or_default();
                str::from_utf8(line).map(|line| Some(line.to_owned())).map_err(|_| Malformed::NotRedis)
            }
            Some(_) => Err(Malformed::NotRedis),
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Option<Vec<u8>>, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (Some(content), Some(end)) = (rest.get(..length), rest.get(length..length + 2)) else {
            return Ok(None);
        };
        if end != b"\r\n" {
            return Err(Malformed::NotRedis);
        }
        self.at += length + 2;
        Ok(Some(content.to_vec()))
    }
}

fn length(text: &str, most: usize) -> Result<Option<usize>, Malformed> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(number) => match usize::try_from(number) {
            Ok(number) if number <= most => Ok(Some(number)),
            Ok(_) => Err(Malformed::TooLarge),
            Err(_) => Err(Malformed::NotRedis),
        },
        Err(_) => Err(Malformed::NotRedis),
    }
}

/// A sealed value, with room for what is added to it.
const MOST_BYTES: usize = super::super::MOST_BYTES + 4096;
/// More than the keys that come in one go, even where a server gives more of them than it was asked for.
const MOST_ITEMS: usize = 20_000;
/// That many items with a name of 200 bytes.
const MOST_REPLY: usize = 8 << 20;
const DEEPEST: usize = 2;
/// An error may say something.
const LONGEST_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_sort_of_reply() {
        let bytes = b"*6\r\n+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\nrest";
        let (reply, used) = parse(bytes).unwrap().unwrap();
        assert_eq!(
            reply,
            Reply::List(vec![
                Reply::Status("OK".to_owned()),
                Reply::Error("ERR no".to_owned()),
                Reply::Number(-7),
                Reply::Bytes(b"a\r\n".to_vec()),
                Reply::Nothing,
                Reply::Nothing,
            ])
        );
        assert_eq!(&bytes[used..], b"rest");
        for cut in 0..used {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn takes_nothing_that_is_odd_or_without_end() {
        for odd in
            ["HTTP/1.1 400 Bad Request\r\n", "\r\n", "$-2\r\n", "$x\r\n", "+a\rb\r\n", "$1\r\nabc", ":1x\r\n"]
        {
            assert_eq!(parse(odd.as_bytes()), Err(Malformed::NotRedis), "{odd:?}");
        }
        for large in ["$999999999\r\n", "*999999999\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n"] {
            assert_eq!(parse(large.as_bytes()), Err(Malformed::TooLarge), "{large:?}");
        }
        assert_eq!(parse(&[b'+'; LONGEST_LINE]), Err(Malformed::NotRedis));
    }

    #[test]
    fn a_command_is_a_list_of_words() {
        let bytes = command(&[b"SET", b"", b"a\r\n"]);
        let words = [&b"SET"[..], b"", b"a\r\n"].map(|word| Reply::Bytes(word.to_vec()));
        assert_eq!(parse(&bytes), Ok(Some((Reply::List(words.to_vec()), bytes.len()))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_a_beginning_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, used))) = parse(&bytes) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
