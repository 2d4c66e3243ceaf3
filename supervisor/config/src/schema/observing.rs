//! The tables of logs, traces and metrics.

use super::Schema;

pub(crate) static LOGGING: Schema = Schema {
    title: "[logging]",
    keys: &["level", "access", "format", "fields", "exclude_fields", "query", "skip_paths"],
    shared: &[],
    known_as: &[("error_log", "level"), ("access_log", "access"), ("log_format", "format")],
    planned: &[],
};
pub(crate) static TRACING: Schema = Schema {
    title: "[tracing]",
    keys: &["request_id", "propagate", "trust", "sample_ratio", "otlp"],
    shared: &[],
    known_as: &[("sampling", "sample_ratio"), ("sampler", "sample_ratio"), ("traceparent", "propagate")],
    planned: &[],
};
pub(crate) static REQUEST_ID: Schema = Schema {
    title: "[tracing.request_id]",
    keys: &["header", "trust"],
    shared: &[],
    known_as: &[("name", "header")],
    planned: &[],
};
pub(crate) static OTLP: Schema = Schema {
    title: "[tracing.otlp]",
    keys: &["upstream", "path", "service_name", "interval"],
    shared: &[],
    known_as: &[
        ("endpoint", "upstream"),
        ("collector", "upstream"),
        ("url", "upstream"),
        ("service", "service_name"),
    ],
    planned: &["headers", "headers_file", "protocol"],
};
pub(crate) static METRICS: Schema = Schema {
    title: "[metrics]",
    keys: &["listen"],
    shared: &[],
    known_as: &[("address", "listen"), ("bind", "listen")],
    planned: &[],
};
