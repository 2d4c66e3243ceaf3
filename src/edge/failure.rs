//! From the framework's errors to the causes of `cause`, and back where a hook of ours fails.
//!
//! Owns the reading of the framework's error types. Its words never leave: they are not stable, and
//! some quote what a client or a server sent.

use std::borrow::Cow;
use std::io;

use pingora::{Error, ErrorSource, ErrorType};
use rustls::{AlertDescription, CertificateError};

use crate::edge::cause::{Cause, Failure};
use crate::wire::Violation;

/// Why the framework gave up on a request.
#[must_use]
pub(super) fn of(error: &Error) -> Failure {
    if let Some(ours) = error.root_cause().downcast_ref::<Failure>() {
        return ours.clone();
    }
    let io = io_error(error.root_cause());
    if let Some(violation) = io.and_then(inner::<Violation>) {
        return Cause::Framing(*violation).into();
    }
    match error.esource() {
        ErrorSource::Downstream => clients(error.etype(), io).into(),
        ErrorSource::Upstream => servers(error.etype(), io),
        ErrorSource::Internal | ErrorSource::Unset => Cause::Internal.into(),
    }
}

/// The system's own error, which the framework may have wrapped.
fn io_error<'a>(root: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut error = Some(root);
    while let Some(found) = error {
        if let Some(io) = found.downcast_ref() {
            return Some(io);
        }
        error = found.source();
    }
    None
}

/// What a hook fails with, so that [`of`] finds the cause again.
#[must_use]
pub(super) fn raise(failure: Failure, source: ErrorSource) -> Box<Error> {
    let status = ErrorType::HTTPStatus(failure.cause.status());
    let mut error = Error::because(status, "", failure);
    error.esource = source;
    error
}

fn clients(etype: &ErrorType, io: Option<&io::Error>) -> Cause {
    let timed_out = io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut);
    match etype {
        // Times that the connection itself keeps.
        ErrorType::ReadError if timed_out => Cause::ClientReadTimeout,
        ErrorType::WriteError if timed_out => Cause::ClientWriteTimeout,
        ErrorType::ReadTimedout => Cause::ClientReadTimeout,
        ErrorType::WriteTimedout => Cause::ClientWriteTimeout,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::H2Error => {
            Cause::ClientGone
        }
        _ => Cause::ClientProtocol,
    }
}

fn servers(etype: &ErrorType, io: Option<&io::Error>) -> Failure {
    match etype {
        ErrorType::ConnectRefused => Cause::UpstreamConnectRefused.into(),
        ErrorType::ConnectTimedout => Cause::UpstreamConnectTimeout.into(),
        ErrorType::TLSHandshakeTimedout => Cause::UpstreamTlsTimeout.into(),
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::TLSWantX509Lookup => tls(io),
        ErrorType::ReadTimedout => Cause::UpstreamReadTimeout.into(),
        ErrorType::WriteTimedout => Cause::UpstreamWriteTimeout.into(),
        ErrorType::ConnectionClosed => Cause::UpstreamClosed.into(),
        ErrorType::ReadError | ErrorType::WriteError => match io.map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof) => Cause::UpstreamClosed,
            _ => Cause::UpstreamReset,
        }
        .into(),
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
        | ErrorType::H2Error
        | ErrorType::H2Downgrade
        | ErrorType::InvalidH2
        | ErrorType::HandshakeError => Cause::UpstreamProtocol.into(),
        _ => connecting(io),
    }
}

/// No connection, and not because of the server.
fn connecting(io: Option<&io::Error>) -> Failure {
    let why = match io.map(io::Error::kind) {
        Some(io::ErrorKind::NetworkUnreachable) => "the network of the server is unreachable",
        Some(io::ErrorKind::HostUnreachable) => "the server is unreachable",
        Some(io::ErrorKind::PermissionDenied) => "a rule of this system forbids the connection",
        // The kernel has one error for both.
        Some(io::ErrorKind::AddrNotAvailable) => {
            "nothing to connect from: the server's address is IPv6 and this system has none, or no local port is left \
             (net.ipv4.ip_local_port_range)"
        }
        Some(io::ErrorKind::AddrInUse) => {
            "no local port is left for the connection (net.ipv4.ip_local_port_range)"
        }
        _ => match io.and_then(io::Error::raw_os_error) {
            Some(libc::EMFILE) => "no file descriptor is left for the connection (raise nofile)",
            _ => return Cause::UpstreamConnectFailed.into(),
        },
    };
    Failure::with(Cause::UpstreamConnectFailed, why)
}

/// What is wrong between us and a server that speaks TLS, as far as it is told.
fn tls(io: Option<&io::Error>) -> Failure {
    let why: Cow<'static, str> = match io.and_then(inner::<rustls::Error>) {
        Some(rustls::Error::InvalidCertificate(flaw)) => certificate(flaw).into(),
        Some(rustls::Error::NoCertificatesPresented) => "the server showed no certificate".into(),
        Some(rustls::Error::AlertReceived(alert)) => alerted(*alert),
        Some(rustls::Error::PeerIncompatible(_)) => {
            "the server shares no TLS version, cipher suite or group with us".into()
        }
        Some(rustls::Error::InvalidMessage(_)) => "the server does not speak TLS at this port".into(),
        _ => return Cause::UpstreamTlsFailed.into(),
    };
    Failure::with(Cause::UpstreamTlsFailed, why)
}

const fn certificate(flaw: &CertificateError) -> &'static str {
    match flaw {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet"
        }
        CertificateError::UnknownIssuer => "the server's certificate is not of a trusted authority",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name"
        }
        CertificateError::Revoked => "the server's certificate is revoked",
        CertificateError::BadSignature => "the signature of the server's certificate does not fit",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not one for servers"
        }
        _ => "the server's certificate is not valid",
    }
}

fn alerted(alert: AlertDescription) -> Cow<'static, str> {
    match alert {
        AlertDescription::CertificateRequired => "the server asks for a client certificate".into(),
        AlertDescription::UnrecognisedName => "the server does not know the name it was asked for".into(),
        AlertDescription::ProtocolVersion => "the server speaks none of our TLS versions".into(),
        alert => format!("the server ended the handshake with alert {}", u8::from(alert)).into(),
    }
}

fn inner<E: std::error::Error + 'static>(io: &io::Error) -> Option<&E> {
    io.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(etype: ErrorType, source: ErrorSource) -> Cause {
        let mut error = Error::new(etype);
        error.esource = source;
        of(&error).cause
    }

    fn upstream(etype: ErrorType, io: io::Error) -> Failure {
        of(&Error::because(etype, "raw words", io).into_up())
    }

    #[test]
    fn tells_apart_what_went_wrong_with_a_server() {
        for (etype, expected, status) in [
            (ErrorType::ConnectRefused, Cause::UpstreamConnectRefused, 502),
            (ErrorType::ConnectTimedout, Cause::UpstreamConnectTimeout, 504),
            (ErrorType::ConnectNoRoute, Cause::UpstreamConnectFailed, 502),
            (ErrorType::TLSHandshakeFailure, Cause::UpstreamTlsFailed, 502),
            (ErrorType::TLSHandshakeTimedout, Cause::UpstreamTlsTimeout, 504),
            (ErrorType::ConnectionClosed, Cause::UpstreamClosed, 502),
            (ErrorType::ReadTimedout, Cause::UpstreamReadTimeout, 504),
            (ErrorType::WriteTimedout, Cause::UpstreamWriteTimeout, 504),
            (ErrorType::InvalidHTTPHeader, Cause::UpstreamProtocol, 502),
        ] {
            let found = cause(etype.clone(), ErrorSource::Upstream);
            assert_eq!((found, found.status()), (expected, status), "{etype:?}");
        }
    }

    #[test]
    fn tells_whose_fault_a_failure_is() {
        assert_eq!(cause(ErrorType::ReadTimedout, ErrorSource::Downstream), Cause::ClientReadTimeout);
        assert_eq!(cause(ErrorType::InvalidHTTPHeader, ErrorSource::Downstream), Cause::ClientProtocol);
        assert_eq!(cause(ErrorType::ConnectionClosed, ErrorSource::Downstream), Cause::ClientGone);
        assert_eq!(cause(ErrorType::InternalError, ErrorSource::Unset), Cause::Internal);
    }

    #[test]
    fn explains_in_its_own_words() {
        let reset = upstream(ErrorType::ReadError, io::ErrorKind::ConnectionReset.into());
        assert_eq!((reset.cause, &*reset.detail), (Cause::UpstreamReset, Cause::UpstreamReset.detail()));
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let expired = upstream(ErrorType::TLSHandshakeFailure, io::Error::other(expired));
        assert_eq!(expired.detail, "the server's certificate has expired");
        let unreachable = upstream(ErrorType::ConnectError, io::ErrorKind::HostUnreachable.into());
        assert_eq!(unreachable.detail, "the server is unreachable");
    }

    #[test]
    fn finds_its_own_failure_again() {
        let failure = Failure::with(Cause::BodyTooLarge, "over 3 bytes");
        assert_eq!(of(&raise(failure.clone(), ErrorSource::Downstream)), failure);
        let violation = Error::because(ErrorType::ReadError, "", io::Error::other(Violation::SlowBody));
        assert_eq!(of(&violation.into_down()).cause, Cause::Framing(Violation::SlowBody));
    }
}
