//! Accounts with CAs (RFC 8555 section 7.3).
//!
//! Owns that no key of an account is ever known to a CA and not to the store: keys are kept first, and what
//! a crash leaves undecided is asked of the CA.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use instant_acme::Account;
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::jws::{self, AccountKey};
use super::record::{self, AccountRecord, Secret};
use super::settings::Issuer;
use super::store::{Expect, Key, Lease, Store, Version};

/// An account that can be ordered with.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) account: Account,
    pub(super) url: String,
}

/// A record with the version that was read.
struct Held {
    record: AccountRecord,
    version: Version,
}

/// The account with `issuer`, opened if there is none yet.
///
/// # Errors
/// [`Failure`]
pub(super) async fn open(store: &dyn Store, lease: &Lease, issuer: &Issuer) -> Result<Opened, Failure> {
    fetch_directory(issuer).await?;
    let held = match read(store, issuer).await? {
        Some(held) => held,
        None => create(store, lease, issuer).await?,
    };
    if held.record.deactivated {
        return Err(Failure::Issuer(DEACTIVATED.to_owned()));
    }
    let held = settle(store, lease, issuer, held).await?;
    let held = register(store, lease, issuer, held).await?;
    let opened = connect(issuer, &held.record).await?;
    write_to(store, lease, issuer, held, &opened).await?;
    Ok(opened)
}

/// Forgets that the CA has confirmed the account; the key stays, and is brought in anew.
///
/// # Errors
/// [`Failure`]
pub(super) async fn forget(store: &dyn Store, lease: &Lease, issuer: &Issuer) -> Result<(), Failure> {
    if let Some(mut held) = read(store, issuer).await? {
        held.record.url = None;
        save(store, lease, issuer, held).await?;
    }
    Ok(())
}

/// Changes the account's key for a new one (RFC 8555 section 7.3.5).
///
/// # Errors
/// [`Failure`]; whichever key the CA takes by then is found out when the account is next opened.
pub(super) async fn roll_over(store: &dyn Store, lease: &Lease, issuer: &Issuer) -> Result<String, Failure> {
    let opened = open(store, lease, issuer).await?;
    let mut held = read(store, issuer).await?.ok_or_else(|| Failure::Own(VANISHED.to_owned()))?;
    let next = AccountKey::generate()?;
    held.record.next_key = Some(encode(&next));
    let held = save(store, lease, issuer, held).await?;
    jws::change_key(&issuer.client, &opened.url, &decode(&held.record.key)?, &next).await?;
    settle(store, lease, issuer, held).await?;
    Ok(opened.url)
}

/// Gives the account up for good (RFC 8555 section 7.3.6).
///
/// # Errors
/// [`Failure`]
pub(super) async fn deactivate(store: &dyn Store, lease: &Lease, issuer: &Issuer) -> Result<String, Failure> {
    let opened = open(store, lease, issuer).await?;
    // First: an account that is given up must not be opened anew by a crash in between.
    let mut held = read(store, issuer).await?.ok_or_else(|| Failure::Own(VANISHED.to_owned()))?;
    held.record.deactivated = true;
    let mut held = save(store, lease, issuer, held).await?;
    let url = opened.url.clone();
    if let Err(error) = opened.account.deactivate().await {
        held.record.deactivated = false;
        save(store, lease, issuer, held).await?;
        return Err(error.into());
    }
    Ok(url)
}

async fn fetch_directory(issuer: &Issuer) -> Result<(), Failure> {
    let request = Request::builder().uri(&issuer.config.directory).body(Full::<Bytes>::default());
    let request = request.map_err(|error| Failure::Own(error.to_string()))?;
    let answer = issuer.client.send(request).await.map_err(jws::JwsError::from)?;
    if !answer.status().is_success() {
        return Err(Failure::Issuer(format!("its directory answers {}", answer.status())));
    }
    match issuer.client.directory("newNonce") {
        Some(_) => Ok(()),
        None => Err(Failure::Issuer("what directory in [acme] leads to is no ACME directory".to_owned())),
    }
}

async fn read(store: &dyn Store, issuer: &Issuer) -> Result<Option<Held>, Failure> {
    let Some(entry) = store.get(&key(issuer)).await? else { return Ok(None) };
    let record = record::read(entry.value.as_bytes())?;
    Ok(Some(Held { record, version: entry.version }))
}

async fn save(store: &dyn Store, lease: &Lease, issuer: &Issuer, held: Held) -> Result<Held, Failure> {
    let Held { record, version } = held;
    let bytes = record::write(&record)?;
    let version = store.put(&key(issuer), &bytes, Expect::Version(version), Some(lease)).await?;
    Ok(Held { record, version })
}

async fn create(store: &dyn Store, lease: &Lease, issuer: &Issuer) -> Result<Held, Failure> {
    let account_key = AccountKey::generate()?;
    let record = AccountRecord {
        directory: issuer.config.directory.clone(),
        url: None,
        key: encode(&account_key),
        next_key: None,
        contact: Vec::new(),
        deactivated: false,
    };
    let bytes = record::write(&record)?;
    let version = store.put(&key(issuer), &bytes, Expect::Absent, Some(lease)).await?;
    Ok(Held { record, version })
}

/// Finds out which key the CA has, where a change of it may not have come to its end.
async fn settle(store: &dyn Store, lease: &Lease, issuer: &Issuer, mut held: Held) -> Result<Held, Failure> {
    let Some(next) = held.record.next_key.take() else { return Ok(held) };
    if let Some(url) = jws::find_account(&issuer.client, &decode(&next)?).await? {
        held.record.key = next;
        held.record.url = Some(url);
    }
    save(store, lease, issuer, held).await
}

async fn register(
    store: &dyn Store,
    lease: &Lease,
    issuer: &Issuer,
    mut held: Held,
) -> Result<Held, Failure> {
    if held.record.url.is_some() {
        return Ok(held);
    }
    let account_key = decode(&held.record.key)?;
    let contact = &issuer.config.contact;
    let url = jws::open_account(&issuer.client, &account_key, contact, issuer.external.as_ref()).await?;
    tracing::info!(issuer = issuer.config.name, account = url, "ACME account opened");
    held.record.url = Some(url);
    held.record.contact.clone_from(contact);
    save(store, lease, issuer, held).await
}

async fn connect(issuer: &Issuer, record: &AccountRecord) -> Result<Opened, Failure> {
    let url = record.url.clone().ok_or_else(|| Failure::Own(VANISHED.to_owned()))?;
    let account_key = decode(&record.key)?;
    let builder = Account::builder_with_http(Box::new(issuer.client.clone()));
    let pkcs8 = PrivatePkcs8KeyDer::from(account_key.pkcs8());
    let account = builder.from_parts(url.clone(), pkcs8, issuer.config.directory.clone()).await?;
    Ok(Opened { account, url })
}

/// The CA knows whom to write to (RFC 8555 section 7.3.2).
async fn write_to(
    store: &dyn Store,
    lease: &Lease,
    issuer: &Issuer,
    mut held: Held,
    opened: &Opened,
) -> Result<(), Failure> {
    let contact = &issuer.config.contact;
    if held.record.contact == *contact {
        return Ok(());
    }
    let addresses: Vec<_> = contact.iter().map(String::as_str).collect();
    opened.account.update_contacts(&addresses).await?;
    held.record.contact.clone_from(contact);
    save(store, lease, issuer, held).await?;
    Ok(())
}

/// Another directory is another CA, with an account of its own.
fn key(issuer: &Issuer) -> Key {
    Key::account(&format!("{} {}", issuer.config.name, issuer.config.directory))
}

fn encode(account_key: &AccountKey) -> Secret {
    Secret(BASE64_STANDARD.encode(account_key.pkcs8()))
}

fn decode(text: &Secret) -> Result<AccountKey, Failure> {
    let pkcs8 = BASE64_STANDARD.decode(&text.0).map(Zeroizing::new);
    let pkcs8 = pkcs8.map_err(|_| Failure::Own("the account key that is kept can't be read".to_owned()))?;
    Ok(AccountKey::read(&pkcs8)?)
}

const DEACTIVATED: &str =
    "its account was deactivated with fluxheim ctl; give the issuer another name to open a new one";
const VANISHED: &str = "the account that is kept has vanished from the storage";
