//! One order, from whatever point it was left at to a certificate (RFC 8555 section 7.4).
//!
//! Owns the order of steps: what a crash must not lose is kept before the CA hears of it. Each step may be
//! done again. When orders are made, and what follows from a failure, is `engine`'s and `attempt`'s.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, NewOrder, Order,
    OrderStatus, RetryPolicy,
};

use super::failure::Failure;
use super::pair;
use super::presenting::{Presenter, Shown};
use super::record::{self, CertificateRecord, OrderRecord, Origin, Secret};
use super::settings::{Host, Issuer};
use super::store::{Expect, Key, Lease, Store, Version};

/// What an order needs around it.
pub(super) struct Job<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) lease: &'a Lease,
    pub(super) presenter: &'a Presenter,
    pub(super) issuer: &'a Issuer,
    pub(super) host: &'a Host,
    pub(super) account: Account,
    /// The URL of the account.
    pub(super) account_url: String,
    /// The certificate that is to be replaced, if this CA wants to know.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
    /// Seconds since 1970.
    pub(super) now: u64,
}

/// An order as it is kept.
pub(super) struct Kept {
    pub(super) record: OrderRecord,
    pub(super) version: Version,
}

/// The order that is kept for `host`, if any.
///
/// # Errors
/// It can't be read.
pub(super) async fn kept(store: &dyn Store, host: &Host) -> Result<Option<Kept>, Failure> {
    let Some(entry) = store.get(&Key::order(&host.name)).await? else { return Ok(None) };
    match record::read(entry.value.as_bytes()) {
        Ok(record) => Ok(Some(Kept { record, version: entry.version })),
        Err(error) => {
            tracing::warn!(host = host.name, %error, "the order that is kept is given up");
            store.delete(&Key::order(&host.name), Expect::Version(entry.version), None).await?;
            Ok(None)
        }
    }
}

impl Job<'_> {
    /// Brings `kept`, or a new order, to its end; the certificate is in the store then.
    ///
    /// # Errors
    /// [`Failure`]; the order stays kept unless [`Failure::Gone`] or [`Failure::Name`] says that it has ended.
    pub(super) async fn run(&self, kept: Option<Kept>) -> Result<(), Failure> {
        let (mut order, kept) = self.order(kept).await?;
        let chain = self.chain(&mut order, &kept.record).await?;
        let certified = pair::certified(&chain, &kept.record.key.0)?;
        pair::check(&certified, &self.host.name, self.now)?;
        self.keep(&kept.record, order.url(), chain).await?;
        self.store.delete(&self.key(), Expect::Version(kept.version), Some(self.lease)).await?;
        Ok(())
    }

    fn key(&self) -> Key {
        Key::order(&self.host.name)
    }

    async fn order(&self, kept: Option<Kept>) -> Result<(Order, Kept), Failure> {
        let mut kept = match kept {
            Some(kept) => kept,
            None => self.begin().await?,
        };
        if let Some(url) = kept.record.url.clone() {
            return match self.account.order(url).await {
                Ok(order) => Ok((order, kept)),
                // Orders are forgotten by CAs in the end.
                Err(instant_acme::Error::Api(problem)) if problem.status == Some(403) => {
                    Err(Failure::Gone(problem.to_string()))
                }
                Err(error) => Err(error.into()),
            };
        }
        let order = self.new_order().await?;
        kept.record.url = Some(order.url().to_owned());
        let bytes = record::write(&kept.record)?;
        let expect = Expect::Version(kept.version);
        kept.version = self.store.put(&self.key(), &bytes, expect, Some(self.lease)).await?;
        Ok((order, kept))
    }

    /// The key first: what the CA certifies can then always be used.
    async fn begin(&self) -> Result<Kept, Failure> {
        let kind = self.issuer.config.key_type;
        let key = tokio::task::spawn_blocking(move || pair::new_key(kind)).await;
        let key = key.map_err(|error| Failure::Own(error.to_string()))??;
        let record = OrderRecord {
            issuer: self.issuer.config.name.clone(),
            directory: self.issuer.config.directory.clone(),
            account: self.account_url.clone(),
            url: None,
            key: Secret(key.to_string()),
            profile: self.issuer.config.profile.clone(),
            begun: self.now,
        };
        let bytes = record::write(&record)?;
        let version = self.store.put(&self.key(), &bytes, Expect::Anything, Some(self.lease)).await?;
        Ok(Kept { record, version })
    }

    async fn new_order(&self) -> Result<Order, Failure> {
        let identifiers = [self.host.identifier()];
        let mut new = NewOrder::new(&identifiers);
        if let Some(profile) = &self.issuer.config.profile {
            self.has_profile(profile)?;
            new = new.profile(profile);
        }
        let Some(replaces) = &self.replaces else { return Ok(self.account.new_order(&new).await?) };
        let mut again = NewOrder::new(&identifiers);
        if let Some(profile) = &self.issuer.config.profile {
            again = again.profile(profile);
        }
        match self.account.new_order(&new.replaces(replaces.clone())).await {
            Ok(order) => Ok(order),
            // RFC 9773 section 5: replaced before, or not known; the order is as good without.
            Err(error) if is_about_replacing(&error) => Ok(self.account.new_order(&again).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// CAs may take an unknown profile for none; then certificates would be other than asked for.
    fn has_profile(&self, wanted: &str) -> Result<(), Failure> {
        let offered: Vec<_> = self.account.profiles().map(|profile| profile.name).collect();
        if offered.contains(&wanted) {
            return Ok(());
        }
        let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
        Err(Failure::Issuer(format!("it has no profile {wanted:?}; it offers {offered}")))
    }

    /// The chain, as soon as the CA has issued it.
    async fn chain(&self, order: &mut Order, record: &OrderRecord) -> Result<String, Failure> {
        if order.state().status == OrderStatus::Pending {
            self.authorize(order).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let request = pair::request(&record.key.0, &self.host.name)?;
            order.finalize_csr(&request).await?;
        }
        match order.state().status {
            OrderStatus::Valid => {}
            OrderStatus::Processing => return Ok(order.poll_certificate(&policy()).await?),
            OrderStatus::Pending | OrderStatus::Ready => return Err(Failure::Slow),
            OrderStatus::Invalid => return Err(self.reason(order).await),
        }
        let chain = order.certificate().await?;
        chain
            .ok_or_else(|| Failure::Issuer("it says that the certificate is there, and it is not".to_owned()))
    }

    /// Shows what the CA wants to see, and waits until it has seen it.
    async fn authorize(&self, order: &mut Order) -> Result<(), Failure> {
        let mut shown = Vec::new();
        let seen = async {
            self.show(order, &mut shown).await?;
            Ok(order.poll_ready(&policy()).await)
        };
        // However it ends, nothing stays behind.
        let done = tokio::select! {
            done = seen => done,
            () = self.lease.lost() => Err(Failure::Lost),
        };
        self.take_back(shown).await;
        match done? {
            Ok(OrderStatus::Invalid) => Err(self.reason(order).await),
            Ok(_) => Ok(()),
            Err(instant_acme::Error::Api(problem)) if order.state().status == OrderStatus::Invalid => {
                tracing::debug!(host = self.host.name, %problem, "order invalid");
                Err(self.reason(order).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn show(&self, order: &mut Order, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let wanted = self.issuer.config.challenge;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                // What has been decided is found in the order.
                _ => return Ok(()),
            }
            let kind = match wanted.name() {
                "http-01" => ChallengeType::Http01,
                "tls-alpn-01" => ChallengeType::TlsAlpn01,
                "dns-01" => ChallengeType::Dns01,
                other => ChallengeType::Unknown(other.to_owned()),
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                let name = wanted.name();
                return Err(Failure::Name(format!("the CA does not offer {name} for this name")));
            };
            if challenge.status == ChallengeStatus::Valid {
                continue;
            }
            let answer = challenge.key_authorization();
            let asked = super::presenting::Asked {
                issuer: self.issuer,
                host: &self.host.name,
                account: &self.account_url,
                thumbprint: self.account.key_thumbprint(),
                token: &challenge.token,
                url: &challenge.url,
                answer: &answer,
                now: self.now,
            };
            self.presenter.show(&asked, self.lease, shown).await?;
            challenge.set_ready().await?;
        }
        Ok(())
    }

    async fn take_back(&self, shown: Vec<Shown>) {
        for one in shown {
            self.presenter.take_back(one, &self.host.name, self.lease).await;
        }
    }

    /// Why the CA refuses, in its own words: those of the validation, where there are any.
    async fn reason(&self, order: &mut Order) -> Failure {
        if let Some(problem) = self.refused(order).await {
            return Failure::Name(Failure::from(problem).to_string());
        }
        match order.state().error.clone() {
            Some(problem) => match Failure::from(problem) {
                Failure::Gone(detail) | Failure::Nonce(detail) => Failure::Name(detail),
                failure => failure,
            },
            None => Failure::Gone("the CA calls it invalid and does not say why".to_owned()),
        }
    }

    async fn refused(&self, order: &mut Order) -> Option<instant_acme::Problem> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.ok()?;
            let state = authorization.refresh().await.ok()?;
            if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
                return Some(problem);
            }
        }
        None
    }

    async fn keep(&self, record: &OrderRecord, order: &str, chain: String) -> Result<(), Failure> {
        let certificate = CertificateRecord {
            origin: Origin {
                issuer: record.issuer.clone(),
                directory: record.directory.clone(),
                order: order.to_owned(),
                profile: record.profile.clone(),
                issued: self.now,
            },
            key: record.key.clone(),
            chain,
        };
        let key = Key::certificate(&self.host.name);
        self.store.put(&key, &certificate.write()?, Expect::Anything, Some(self.lease)).await?;
        Ok(())
    }
}

fn is_about_replacing(error: &instant_acme::Error) -> bool {
    match error {
        instant_acme::Error::Api(problem) => {
            let kind = problem.r#type.as_deref().unwrap_or_default();
            kind.ends_with(":alreadyReplaced") || kind.ends_with(":malformed")
        }
        instant_acme::Error::Unsupported(_) => true,
        instant_acme::Error::Other(error) => error.to_string().contains("replaces"),
        _ => false,
    }
}

fn policy() -> RetryPolicy {
    RetryPolicy::new().initial_delay(FIRST_LOOK).backoff(1.5).timeout(PATIENCE)
}

/// CAs look at a name within a second or some; longer, and the order goes on another time.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
const FIRST_LOOK: Duration = Duration::from_millis(300);
