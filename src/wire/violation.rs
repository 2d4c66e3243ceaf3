//! Why a request is refused, and the one table from reason to answer.

/// What is wrong with a request as it came, or how long it took to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.explanation())]
pub enum Violation {
    BareLf,
    BareCr,
    RequestLine,
    Method,
    MethodNotServed,
    Target,
    Userinfo,
    TargetTooLong,
    Version,
    HeadTooLarge,
    TooManyFields,
    Fold,
    FieldName,
    SpaceBeforeColon,
    FieldValue,
    NoHost,
    ManyHosts,
    BadHost,
    HostDiffers,
    Length,
    ManyLengths,
    LengthAndCoding,
    Coding,
    UnknownCoding,
    OldCoding,
    UpgradeBody,
    ChunkSize,
    ChunkExtension,
    ChunkEnd,
    Trailer,
    SlowHead,
    SlowBody,
}

impl Violation {
    /// Every one, for tables.
    pub const ALL: [Self; 32] = [
        Self::BareLf,
        Self::BareCr,
        Self::RequestLine,
        Self::Method,
        Self::MethodNotServed,
        Self::Target,
        Self::Userinfo,
        Self::TargetTooLong,
        Self::Version,
        Self::HeadTooLarge,
        Self::TooManyFields,
        Self::Fold,
        Self::FieldName,
        Self::SpaceBeforeColon,
        Self::FieldValue,
        Self::NoHost,
        Self::ManyHosts,
        Self::BadHost,
        Self::HostDiffers,
        Self::Length,
        Self::ManyLengths,
        Self::LengthAndCoding,
        Self::Coding,
        Self::UnknownCoding,
        Self::OldCoding,
        Self::UpgradeBody,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkEnd,
        Self::Trailer,
        Self::SlowHead,
        Self::SlowBody,
    ];

    /// What is wrong, for the access log.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::BareLf => "a line ends in a bare LF",
            Self::BareCr => "a CR stands without its LF",
            Self::RequestLine => {
                "the request line is not method, target and version with one space between them"
            }
            Self::Method => "the method is not a token",
            Self::MethodNotServed => "TRACE and CONNECT are not served",
            Self::Target => "the request target is malformed or of a form that does not go with the method",
            Self::Userinfo => "the authority of the request target has userinfo",
            Self::TargetTooLong => "the request line is over the limit of a head",
            Self::Version => "this is not HTTP/1.0 or HTTP/1.1",
            Self::HeadTooLarge => "the head is over max_header_size",
            Self::TooManyFields => "there are more fields than max_header_count",
            Self::Fold => "a field is continued on a second line",
            Self::FieldName => "a field's name is empty or not a token",
            Self::SpaceBeforeColon => "there is space between a field's name and its colon",
            Self::FieldValue => "a field's value has a control character",
            Self::NoHost => "the request has no Host",
            Self::ManyHosts => "the request has more than one Host",
            Self::BadHost => "the Host is not valid",
            Self::HostDiffers => "the Host is not the authority of the request target",
            Self::Length => "the Content-Length is not one number",
            Self::ManyLengths => "there is more than one Content-Length",
            Self::LengthAndCoding => "there are both Content-Length and Transfer-Encoding",
            Self::Coding => "Transfer-Encoding is not the one coding \"chunked\"",
            Self::UnknownCoding => "Transfer-Encoding names a coding other than \"chunked\"",
            Self::OldCoding => "an HTTP/1.0 request has Transfer-Encoding",
            Self::UpgradeBody => "a request to switch protocols has a body",
            Self::ChunkSize => "a chunk's size is malformed",
            Self::ChunkExtension => "a chunk's extension is malformed, or extensions are too long",
            Self::ChunkEnd => "a chunk is longer or shorter than its size",
            Self::Trailer => {
                "a trailer field is malformed, not allowed there, or trailers are over the limit of a head"
            }
            Self::SlowHead => "the head was not complete within header_timeout",
            Self::SlowBody => "the body came slower than min_body_rate",
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BareLf => "bare_lf",
            Self::BareCr => "bare_cr",
            Self::RequestLine => "request_line",
            Self::Method => "method",
            Self::MethodNotServed => "method_not_served",
            Self::Target => "target",
            Self::Userinfo => "userinfo",
            Self::TargetTooLong => "target_too_long",
            Self::Version => "version",
            Self::HeadTooLarge => "header_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::Fold => "folded_field",
            Self::FieldName => "field_name",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::FieldValue => "field_value",
            Self::NoHost => "no_host",
            Self::ManyHosts => "many_hosts",
            Self::BadHost => "bad_host",
            Self::HostDiffers => "host_differs",
            Self::Length => "content_length",
            Self::ManyLengths => "many_content_lengths",
            Self::LengthAndCoding => "length_and_coding",
            Self::Coding => "transfer_encoding",
            Self::UnknownCoding => "unknown_coding",
            Self::OldCoding => "coding_in_http_1_0",
            Self::UpgradeBody => "upgrade_with_body",
            Self::ChunkSize => "chunk_size",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkEnd => "chunk_end",
            Self::Trailer => "trailer",
            Self::SlowHead => "slow_header",
            Self::SlowBody => "slow_body",
        }
    }

    /// The status it is answered with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MethodNotServed => 405,
            Self::SlowHead | Self::SlowBody => 408,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            // RFC 9112 section 6.1.
            Self::UnknownCoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// What the client is told; nothing that it did not know.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self.status() {
            405 => "method not allowed\n",
            408 => "request timed out\n",
            414 => "request target too long\n",
            431 => "request header too large\n",
            501 => "transfer coding not supported\n",
            505 => "HTTP version not supported\n",
            _ => match self {
                Self::NoHost | Self::ManyHosts | Self::BadHost | Self::HostDiffers => "bad Host\n",
                Self::Length | Self::ManyLengths => "bad Content-Length\n",
                Self::Target | Self::Userinfo => "bad request target\n",
                _ => "bad request\n",
            },
        }
    }

    /// The reason phrase of [`Violation::status`].
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self.status() {
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            414 => "URI Too Long",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            505 => "HTTP Version Not Supported",
            _ => "Bad Request",
        }
    }
}

/// The `Allow` of a 405 (RFC 9110 section 15.5.6).
pub const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
