//! From a request to its answer: faults, nonces, signatures, then whoever is in charge.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use serde_json::{Value, json};

use super::authority::Authority;
use super::faults::{self, Endpoint, What};
use super::http::{Request, Response};
use super::jws::{Jws, Key, encode};
use super::problem::Problem;
use super::setup::{Draft, Setup};
use super::state::{State, Status};

pub(crate) struct Service {
    pub(super) setup: Mutex<Setup>,
    state: Mutex<State>,
    base: String,
    pub(super) authority: Authority,
    /// Another CA, for chains that are not ours.
    pub(super) stranger: Authority,
    /// Whose server certificate the listener has.
    pub(super) web: Authority,
    pub(super) ended: AtomicBool,
    me: Weak<Self>,
}

/// A request that an account has signed, or a key that has none.
pub(super) struct Signed<'a> {
    pub(super) path: &'a str,
    pub(super) who: Who,
    pub(super) payload: Vec<u8>,
}

pub(super) enum Who {
    Account(usize),
    Key(Key),
}

impl Signed<'_> {
    /// The account, for what only an account may do.
    pub(super) fn account(&self) -> Result<usize, Problem> {
        match self.who {
            Who::Account(id) => Ok(id),
            Who::Key(_) => Err(Problem::malformed("sign with kid, not with jwk")),
        }
    }

    /// The payload, for what is not a POST-as-GET.
    pub(super) fn json(&self) -> Result<Value, Problem> {
        let value: Value = serde_json::from_slice(&self.payload)
            .map_err(|error| Problem::malformed(format!("the payload is no JSON: {error}")))?;
        value.is_object().then_some(value).ok_or_else(|| Problem::malformed("the payload is no object"))
    }

    /// POST-as-GET (RFC 8555, section 6.3).
    pub(super) fn must_be_empty(&self) -> Result<(), Problem> {
        self.payload.is_empty().then_some(()).ok_or_else(|| Problem::malformed("the payload has to be empty"))
    }

    /// The id behind `prefix` in the path.
    pub(super) fn id(&self, prefix: &str) -> Result<usize, Problem> {
        let rest = self.path.strip_prefix(prefix).and_then(|rest| rest.split('/').next());
        rest.and_then(|id| id.parse().ok()).ok_or_else(Problem::not_found)
    }
}

impl Service {
    /// Behind an `Arc` that knows itself: validations go on after the answer.
    pub(super) fn new(setup: Setup, base: String) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            setup: Mutex::new(setup),
            state: Mutex::default(),
            base,
            authority: Authority::new("Test"),
            stranger: Authority::new("Stranger"),
            web: Authority::new("Web"),
            ended: AtomicBool::new(false),
            me: Weak::clone(me),
        })
    }

    pub(super) fn me(&self) -> Arc<Self> {
        self.me.upgrade().unwrap()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn setup(&self) -> Setup {
        self.setup.lock().unwrap().clone()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The path of a URL of ours.
    pub(super) fn path_of<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(&self.base)
    }

    /// `None` ends the connection without an answer.
    pub(super) fn answer(&self, request: &Request) -> Option<Response> {
        let Some(endpoint) = endpoint(&request.path) else {
            return Some(Problem::not_found().into());
        };
        let fault = {
            let mut state = self.state();
            state.requests.push(endpoint);
            faults::next(&mut state.faults, endpoint)
        };
        let work = || self.handle(endpoint, request).unwrap_or_else(Response::from);
        let response = match fault {
            None => work(),
            Some(What::BadNonce) => Problem::new(400, "badNonce", "too old").into(),
            Some(What::Problem(problem)) => problem.into(),
            Some(What::Status(status)) => {
                Response::new(status, "text/html", b"<html><h1>Something is wrong</h1></html>".to_vec())
            }
            Some(What::Slow(time)) => {
                std::thread::sleep(time);
                work()
            }
            Some(What::DropBefore) => return None,
            Some(What::DropAfter) => {
                work();
                return None;
            }
            Some(What::Chain(chain)) => {
                self.spoil(request, chain);
                work()
            }
        };
        Some(self.finish(request, response))
    }

    /// What every answer has (RFC 8555, sections 6.5 and 7.1).
    fn finish(&self, request: &Request, response: Response) -> Response {
        let link = format!("<{}>;rel=\"index\"", self.url("/directory"));
        let response = response.with("Link", link).with("Cache-Control", "no-store");
        if request.method == "POST" || request.path == "/new-nonce" {
            return response.with("Replay-Nonce", self.nonce());
        }
        response
    }

    fn nonce(&self) -> String {
        let mut octets = [0; 16];
        aws_lc_rs::rand::fill(&mut octets).unwrap();
        let nonce = encode(&octets);
        self.state().nonces.insert(nonce.clone());
        nonce
    }

    fn handle(&self, endpoint: Endpoint, request: &Request) -> Result<Response, Problem> {
        if !request.headers.contains_key("user-agent") {
            return Err(Problem::malformed("a client says who it is, in User-Agent"));
        }
        match (endpoint, request.method.as_str()) {
            (Endpoint::Directory, "GET") => Ok(Response::json(200, &self.directory())),
            (Endpoint::NewNonce, "HEAD") => Ok(Response::empty(200)),
            (Endpoint::NewNonce, "GET") => Ok(Response::empty(204)),
            (Endpoint::RenewalInfo, "GET") => self.renewal_info(&request.path),
            (Endpoint::RenewalInfo, _) => Err(Problem::new(405, "malformed", "GET it")),
            (_, "POST") => self.dispatch(endpoint, &self.open(endpoint, request)?),
            _ => Err(Problem::new(405, "malformed", "POST it, signed")),
        }
    }

    fn dispatch(&self, endpoint: Endpoint, signed: &Signed<'_>) -> Result<Response, Problem> {
        match endpoint {
            Endpoint::Directory => Ok(Response::json(200, &self.directory())),
            Endpoint::NewAccount => self.new_account(signed),
            Endpoint::Account => self.account(signed),
            Endpoint::Orders => self.orders_of(signed),
            Endpoint::KeyChange => self.key_change(signed),
            Endpoint::NewOrder => self.new_order(signed),
            Endpoint::Order => self.order(signed),
            Endpoint::Authorization => self.authorization(signed),
            Endpoint::Challenge => self.challenge(signed),
            Endpoint::Finalize => self.finalize(signed),
            Endpoint::Certificate => self.certificate(signed),
            Endpoint::Revoke => self.revoke(signed),
            Endpoint::NewNonce | Endpoint::RenewalInfo => Err(Problem::new(405, "malformed", "GET it")),
        }
    }

    /// What RFC 8555, section 6 asks of every POST.
    fn open<'a>(&'a self, endpoint: Endpoint, request: &'a Request) -> Result<Signed<'a>, Problem> {
        if request.headers.get("content-type").map(String::as_str) != Some("application/jose+json") {
            return Err(Problem::new(415, "malformed", "the content type is application/jose+json"));
        }
        let jws = Jws::parse(&request.body)?;
        self.spend(jws.header.nonce.as_deref())?;
        if self.path_of(&jws.header.url) != Some(&request.path) {
            return Err(Problem::unauthorized("the url that was signed is another one"));
        }
        let (who, key) = self.signer(endpoint, &jws)?;
        let payload = jws.verify(&key)?.to_vec();
        Ok(Signed { path: &request.path, who, payload })
    }

    /// Takes a nonce; each is good once.
    fn spend(&self, nonce: Option<&str>) -> Result<(), Problem> {
        let every = self.setup().reject_every;
        let mut state = self.state();
        let bad = |detail: &str| Err(Problem::new(400, "badNonce", detail));
        let Some(nonce) = nonce else { return bad("there is no nonce") };
        if !state.nonces.remove(nonce) {
            return bad("the nonce is not known, or was used before");
        }
        state.counted += 1;
        if every.is_some_and(|every| state.counted.is_multiple_of(every)) {
            return bad("too old");
        }
        Ok(())
    }

    /// `jwk` where an account is made or a certificate's own key revokes it, else `kid`.
    fn signer(&self, endpoint: Endpoint, jws: &Jws) -> Result<(Who, Key), Problem> {
        let state = self.state();
        match (&jws.header.kid, &jws.header.jwk) {
            (None, Some(jwk)) if matches!(endpoint, Endpoint::NewAccount | Endpoint::Revoke) => {
                let key = Key::parse(jwk)?;
                Ok((Who::Key(key.clone()), key))
            }
            (Some(kid), None) if endpoint != Endpoint::NewAccount => {
                let id = (0..state.accounts.len()).find(|id| *kid == self.url(&format!("/account/{id}")));
                let id = id.ok_or_else(|| {
                    Problem::new(400, "accountDoesNotExist", format!("{kid} is no account"))
                })?;
                match state.accounts[id].status {
                    Status::Valid => Ok((Who::Account(id), state.accounts[id].key.clone())),
                    status => Err(Problem::unauthorized(format!("the account is {status:?}"))),
                }
            }
            _ => Err(Problem::malformed("either kid or jwk, as the resource wants it")),
        }
    }

    fn directory(&self) -> Value {
        let setup = self.setup();
        let url = |path| self.url(path);
        let profiles = setup.profiles.iter().map(|profile| (profile.name.clone(), json!("for tests")));
        let mut directory = json!({
            "newNonce": url("/new-nonce"), "newAccount": url("/new-account"), "newOrder": url("/new-order"),
            "revokeCert": url("/revoke-cert"), "keyChange": url("/key-change"),
            "meta": {
                "termsOfService": url("/terms"), "website": url("/"), "caaIdentities": setup.issuers,
                "externalAccountRequired": !setup.external_accounts.is_empty(),
                "profiles": profiles.collect::<serde_json::Map<_, _>>(),
            },
        });
        if setup.renewal.is_some() {
            directory["renewalInfo"] = json!(url("/renewal-info"));
        }
        if setup.persist == Draft::Two {
            directory["meta"]["issuerDomainNames"] = json!(setup.issuers);
            directory["meta"]["accountHashPrefix"] = json!(url("/account-hash/"));
        }
        directory
    }
}

/// What a path is for.
fn endpoint(path: &str) -> Option<Endpoint> {
    let mut parts = path.strip_prefix('/')?.split('/');
    Some(match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        ("directory", None, ..) => Endpoint::Directory,
        ("new-nonce", None, ..) => Endpoint::NewNonce,
        ("new-account", None, ..) => Endpoint::NewAccount,
        ("new-order", None, ..) => Endpoint::NewOrder,
        ("revoke-cert", None, ..) => Endpoint::Revoke,
        ("key-change", None, ..) => Endpoint::KeyChange,
        ("account", Some(_), None, _) => Endpoint::Account,
        ("account", Some(_), Some("orders"), None) => Endpoint::Orders,
        ("order", Some(_), None, _) => Endpoint::Order,
        ("order", Some(_), Some("finalize"), None) => Endpoint::Finalize,
        ("authorization", Some(_), None, _) => Endpoint::Authorization,
        ("challenge", Some(_), Some(_), None) => Endpoint::Challenge,
        ("certificate", Some(_), None, _) => Endpoint::Certificate,
        ("renewal-info", Some(_), None, _) => Endpoint::RenewalInfo,
        _ => return None,
    })
}
