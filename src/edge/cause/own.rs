//! What refusals and denials of our own come to, and the value that a failed request carries along.
//!
//! Owns no row of the table. No wildcard arm: a new reason to refuse forces a decision here.

use std::borrow::Cow;

use http::StatusCode;

use super::Cause;
use crate::edge::admit::Refusal;
use crate::edge::concurrency::Full;
use crate::policy::Denied;
use crate::route::NoRoute;
use crate::wire::Violation;

/// A cause with what is known beyond it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    pub cause: Cause,
    /// For the access log, in words of ours: nothing of the client's or the framework's.
    pub detail: Cow<'static, str>,
}

impl Failure {
    /// A cause with a detail of this request.
    #[must_use]
    pub fn with(cause: Cause, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { cause, detail: detail.into() }
    }

    /// The same of a request whose time is over or not: what it then waited for in vain was cut short.
    #[must_use]
    pub fn in_time_of(self, overdue: bool) -> Self {
        match self.cause {
            Cause::ClientReadTimeout
            | Cause::UpstreamConnectTimeout
            | Cause::UpstreamTlsTimeout
            | Cause::UpstreamReadTimeout
            | Cause::UpstreamWriteTimeout
                if overdue =>
            {
                Cause::RequestTimeout.into()
            }
            _ => self,
        }
    }

    /// The status that answers it.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.cause.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self { cause, detail: Cow::Borrowed(cause.detail()) }
    }
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Cause::Framing(violation).into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let cause = match refusal {
            Refusal::NoHost => Cause::NoHost,
            Refusal::ManyHosts => Cause::ManyHosts,
            Refusal::BadHost(_) => Cause::BadHost,
            Refusal::RelativePath | Refusal::UnsafePath | Refusal::NotUtf8 | Refusal::UnsafeRewrite => {
                Cause::BadTarget
            }
            Refusal::Misdirected => Cause::Misdirected,
            Refusal::Underscore => Cause::Underscore,
            Refusal::TargetTooLong { .. } => Cause::UriTooLong,
            Refusal::BadLength => Cause::BadLength,
            Refusal::Method => Cause::MethodNotServed,
            Refusal::HeaderTooLarge { .. } => Cause::HeaderTooLarge,
            Refusal::TooManyFields { .. } => Cause::TooManyFields,
        };
        Self::with(cause, refusal.to_string())
    }
}

impl From<NoRoute> for Failure {
    fn from(no_route: NoRoute) -> Self {
        match no_route {
            NoRoute::UnknownHost => Cause::UnknownHost,
            NoRoute::UnknownPath { .. } => Cause::NoRoute,
            NoRoute::OtherMethods { .. } => Cause::RouteMethod,
            NoRoute::EncodedSlash { .. } | NoRoute::EncodedDelims { .. } => {
                return Self::with(Cause::BadTarget, no_route.to_string());
            }
        }
        .into()
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        match full {
            Full::Client => Cause::TooManyAtOnce,
            Full::Queue => Cause::QueueFull,
            Full::Timeout => Cause::QueueTimeout,
        }
        .into()
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let cause = match denied {
            Denied::Address => Cause::AddressDenied,
            Denied::Certificate => Cause::CertificateDenied,
            Denied::Origin => Cause::OriginDenied,
            Denied::BodyTooLarge { .. } => Cause::BodyTooLarge,
        };
        Self::with(cause, denied.to_string())
    }
}
