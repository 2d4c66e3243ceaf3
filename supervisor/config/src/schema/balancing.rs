//! The tables within `[[upstreams]]` that are about choosing a server.

use super::Schema;

pub(crate) static HASH: Schema = Schema {
    title: "hash of [[upstreams]]",
    keys: &["by", "kind"],
    shared: &[],
    known_as: &[("key", "by"), ("method", "kind"), ("algorithm", "kind")],
    planned: &[],
};
pub(crate) static STICKY: Schema = Schema {
    title: "sticky of [[upstreams]]",
    keys: &["cookie", "secret_file", "ttl", "secure", "same_site"],
    shared: &[],
    known_as: &[
        ("name", "cookie"),
        ("secret", "secret_file"),
        ("key_file", "secret_file"),
        ("expires", "ttl"),
        ("max_age", "ttl"),
    ],
    planned: &[],
};
pub(crate) static HEALTH: Schema = Schema {
    title: "health of [[upstreams]]",
    keys: &[
        "path",
        "tcp",
        "grpc",
        "host",
        "port",
        "expect_status",
        "interval",
        "timeout",
        "healthy_after",
        "unhealthy_after",
    ],
    shared: &[],
    known_as: &[
        ("uri", "path"),
        ("url", "path"),
        ("rise", "healthy_after"),
        ("passes", "healthy_after"),
        ("healthy_threshold", "healthy_after"),
        ("fall", "unhealthy_after"),
        ("fails", "unhealthy_after"),
        ("unhealthy_threshold", "unhealthy_after"),
        ("status", "expect_status"),
        ("expected_statuses", "expect_status"),
        ("service", "grpc"),
    ],
    planned: &[],
};
pub(crate) static OUTLIER: Schema = Schema {
    title: "outlier of [[upstreams]]",
    keys: &["consecutive_failures", "consecutive_5xx", "base_ejection", "max_ejection", "max_ejected"],
    shared: &[],
    known_as: &[
        ("max_fails", "consecutive_failures"),
        ("consecutive_gateway_failure", "consecutive_failures"),
        ("fail_timeout", "base_ejection"),
        ("base_ejection_time", "base_ejection"),
        ("max_ejection_time", "max_ejection"),
        ("max_ejection_percent", "max_ejected"),
    ],
    planned: &[],
};
pub(crate) static QUEUE: Schema = Schema {
    title: "queue of [[upstreams]]",
    keys: &["size", "timeout"],
    shared: &[],
    known_as: &[("max_pending_requests", "size")],
    planned: &[],
};
pub(crate) static RETRY: Schema = Schema {
    title: "retry of [[upstreams]]",
    keys: &["attempts", "budget_percent", "on"],
    shared: &[],
    known_as: &[
        ("tries", "attempts"),
        ("num_retries", "attempts"),
        ("retry_on", "on"),
        ("budget", "budget_percent"),
    ],
    planned: &[],
};
