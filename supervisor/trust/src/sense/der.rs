//! DER, element by element, in place.
//!
//! Owns stepping through; copies nothing, so it may walk over a private key. Follows X.690.

use x509_parser::der_parser::asn1_rs::{Any, Class, FromDer};

/// What is left of a run of elements.
#[derive(Clone, Copy)]
pub(super) struct Elements<'a>(&'a [u8]);

/// How an element is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Boolean,
    Integer,
    BitString,
    OctetString,
    Oid,
    Sequence,
    /// Of the context, with its number.
    Context(u32),
}

impl<'a> Elements<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The content of the one element that `bytes` are, to their last.
    pub(super) fn only(bytes: &'a [u8], tag: Tag) -> Option<&'a [u8]> {
        let mut elements = Self(bytes);
        let content = elements.take(tag)?;
        elements.is_empty().then_some(content)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next element, which must be a `tag`.
    pub(super) fn take(&mut self, tag: Tag) -> Option<&'a [u8]> {
        let (found, content, rest) = self.peek()?;
        self.0 = rest;
        (found? == tag).then_some(content)
    }

    /// The same, if it is one.
    pub(super) fn take_if(&mut self, tag: Tag) -> Option<&'a [u8]> {
        let (found, content, rest) = self.peek()?;
        if found? != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }

    /// The tag, if it is one that matters here, and the content of the next element.
    pub(super) fn any(&mut self) -> Option<(Option<Tag>, &'a [u8])> {
        let (found, content, rest) = self.peek()?;
        self.0 = rest;
        Some((found, content))
    }

    fn peek(&self) -> Option<(Option<Tag>, &'a [u8], &'a [u8])> {
        let (rest, element) = Any::from_der(self.0).ok()?;
        Some((tag(&element), element.data, rest))
    }
}

/// A whole number without the zero that keeps its sign; none when it is negative or zero.
pub(super) fn positive(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Some(rest),
        [1..=0x7f, ..] => Some(integer),
        _ => None,
    }
}

/// The bytes of a BIT STRING that has no loose bits.
pub(super) fn whole_bytes(bit_string: &[u8]) -> Option<&[u8]> {
    bit_string.strip_prefix(&[0])
}

fn tag(element: &Any<'_>) -> Option<Tag> {
    let number = element.tag().0;
    match (element.class(), element.header.is_constructed(), number) {
        (Class::ContextSpecific, _, number) => Some(Tag::Context(number)),
        (Class::Universal, false, 1) => Some(Tag::Boolean),
        (Class::Universal, false, 2) => Some(Tag::Integer),
        (Class::Universal, false, 3) => Some(Tag::BitString),
        (Class::Universal, false, 4) => Some(Tag::OctetString),
        (Class::Universal, false, 6) => Some(Tag::Oid),
        (Class::Universal, true, 16) => Some(Tag::Sequence),
        _ => None,
    }
}
