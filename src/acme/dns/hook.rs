//! Records by a program of the operator's, which runs in a process of its own: this one can start none.
//!
//! Owns what is asked of the program: the name that the CNAMEs lead to, within the zone. Whether the record is
//! there is seen by asking the zone's servers, whatever the program says.

use std::time::Duration;

use async_trait::async_trait;
use fluxheim_config::DnsHook;
use hickory_resolver::TokioResolver;

use super::error::{DnsError, HookError, ProviderError};
use super::runners::Runners;
use super::zone::{self, Finder};
use super::{Provider, Record, visible};
use crate::wire::hook::{Request, Verb};

/// Asks those who run the program.
#[derive(Debug)]
pub struct Hook {
    finder: Finder,
    /// `None` where no socket was made when the process started.
    runners: Option<Runners>,
    timeout: Duration,
    propagation: Duration,
}

impl Hook {
    /// # Errors
    /// [`ProviderError::Zone`]
    pub fn new(
        config: &DnsHook,
        runners: Option<Runners>,
        propagation: Duration,
        resolver: TokioResolver,
    ) -> Result<Self, ProviderError> {
        let finder = Finder { server: None, zone: zone::named(config.zone.as_deref())?, resolver };
        Ok(Self { finder, runners, timeout: config.timeout, propagation })
    }

    async fn ask(&self, verb: Verb, record: &Record) -> Result<(), DnsError> {
        let runners = self.runners.as_ref().ok_or(HookError::NoSocket)?;
        let owner = self.finder.place(&record.name).await?.owner.to_string();
        let request = Request::new(verb, &owner, &record.value)
            .map_err(|reason| HookError::Unasked { name: owner, reason })?;
        runners.ask(&request, self.timeout).await?;
        tracing::debug!(
            name = record.name,
            owner = request.name(),
            verb = verb.name(),
            "the hook has done it"
        );
        Ok(())
    }
}

#[async_trait]
impl Provider for Hook {
    fn kind(&self) -> &'static str {
        "hook"
    }

    async fn owner(&self, name: &str) -> Option<String> {
        Some(self.finder.place(name).await.ok()?.owner.to_string())
    }

    async fn present(&self, name: &str, value: &str) -> Result<Record, DnsError> {
        let record = Record { name: name.to_owned(), value: value.to_owned() };
        self.ask(Verb::Present, &record).await?;
        Ok(record)
    }

    async fn visible(&self, record: &Record) -> Result<(), DnsError> {
        let place = self.finder.place(&record.name).await?;
        visible::wait(&self.finder, &place, &record.value, self.propagation).await
    }

    async fn cleanup(&self, record: Record) -> Result<(), DnsError> {
        self.ask(Verb::Cleanup, &record).await
    }
}
