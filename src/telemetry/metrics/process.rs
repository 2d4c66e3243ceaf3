//! What the process itself takes, under the names that every Prometheus client library gives it.
//!
//! Owns those names; read at each scrape. What the kernel does not tell is left out.

use std::fmt;
use std::time::{Duration, SystemTime};

use fluxheim_posture::usage;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Unit;

#[derive(Debug)]
pub(super) struct Process {
    started: SystemTime,
}

impl Process {
    pub(super) fn starting_now() -> Self {
        Self { started: SystemTime::now() }
    }
}

impl Collector for Process {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        gauge(
            &mut out,
            "start_time",
            "When the process started, since the Unix epoch",
            Some(&Unit::Seconds),
            started.as_secs_f64(),
        )?;
        if let Some(cpu) = usage::cpu_time() {
            cpu_seconds(&mut out, cpu)?;
        }
        if let Some(memory) = usage::memory() {
            gauge(&mut out, "resident_memory", "Memory in use", Some(&Unit::Bytes), number(memory.resident))?;
            gauge(&mut out, "virtual_memory", "Addresses in use", Some(&Unit::Bytes), number(memory.mapped))?;
        }
        if let Some(open) = usage::open_descriptors() {
            gauge(&mut out, "open_fds", "File descriptors open", None, number(open))?;
        }
        if let Some(most) = usage::most_descriptors() {
            gauge(&mut out, "max_fds", "File descriptors that may be open", None, number(most))?;
        }
        Ok(())
    }
}

fn cpu_seconds(out: &mut DescriptorEncoder<'_>, cpu: Duration) -> fmt::Result {
    let metric = out.encode_descriptor(
        "process_cpu",
        "Processor time, in user and system",
        Some(&Unit::Seconds),
        MetricType::Counter,
    )?;
    ConstCounter::new(cpu.as_secs_f64()).encode(metric)
}

fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: f64,
) -> fmt::Result {
    let name = format!("process_{name}");
    let kind = <ConstGauge<f64> as TypedMetric>::TYPE;
    ConstGauge::new(value).encode(out.encode_descriptor(&name, help, unit, kind)?)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
const fn number(count: u64) -> f64 {
    count as f64
}
