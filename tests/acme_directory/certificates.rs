//! Certificates: asked for, handed out, revoked, renewed (RFC 8555, sections 7.4 and 7.6; RFC 9773).

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::authority::{self, Csr};
use super::faults::Chain;
use super::http::{Request, Response, rfc3339};
use super::jws::decode;
use super::problem::Problem;
use super::service::{Service, Signed, Who};
use super::setup::{Setup, When};
use super::state::{Identifier, Issued, Order, Status};

impl Service {
    pub(super) fn finalize(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let id = self.own_order(signed)?;
        let setup = self.setup();
        let csr = signed.json()?["csr"].as_str().map(decode).transpose()?;
        let csr = Csr::parse(&csr.ok_or_else(|| Problem::malformed("there is no csr"))?)?;
        let mut state = self.state();
        if state.orders[id].status != Status::Ready {
            let detail = format!("the order is {:?}", state.orders[id].status);
            return Err(Problem::new(403, "orderNotReady", detail));
        }
        let (account, names) = (state.orders[id].account, names(&state.orders[id].identifiers));
        if csr.names != names {
            let detail = format!("the request is for {:?}, the order for {names:?}", csr.names);
            return Err(Problem::new(400, "badCSR", detail));
        }
        if csr.public_key.ends_with(&state.accounts[account].key.point) {
            return Err(Problem::new(400, "badCSR", "a certificate is not for the account's own key"));
        }
        let issued = self.issue(&setup, &state.orders[id], &csr);
        let certificate = state.certificates.len();
        state.certificates.push(issued);
        let order = &mut state.orders[id];
        order.status = Status::Processing;
        order.certificate = Some(certificate);
        order.done = SystemTime::now() + setup.processing;
        drop(state);
        Ok(self.show_order(id, 200))
    }

    fn issue(&self, setup: &Setup, order: &Order, csr: &Csr) -> Issued {
        let of_profile = order.profile.as_ref().and_then(|name| {
            setup.profiles.iter().find(|profile| profile.name == *name).map(|profile| profile.life)
        });
        let (from, life) = (SystemTime::now(), of_profile.unwrap_or(setup.life));
        let leaf = self.authority.sign(csr, from, from + life);
        Issued {
            account: order.account,
            names: csr.names.iter().cloned().collect(),
            profile: order.profile.clone(),
            renewal_id: authority::renewal_id(&leaf),
            replaces: order.replaces.clone(),
            not_before: from,
            not_after: from + life,
            revoked: None,
            pem: self.authority.chain(&leaf),
            der: leaf,
            public_key: csr.public_key.clone(),
        }
    }

    pub(super) fn certificate(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let (account, id) = (signed.account()?, signed.id("/certificate/")?);
        signed.must_be_empty()?;
        let mut state = self.state();
        let wrong = state.chains.remove(&id);
        let issued = state.certificates.get(id).ok_or_else(Problem::not_found)?;
        if issued.account != account {
            return Err(Problem::unauthorized("this is another account's certificate"));
        }
        let pem = wrong.map_or_else(|| issued.pem.clone(), |chain| self.wrong(chain, issued));
        Ok(Response::new(200, "application/pem-certificate-chain", pem.into_bytes()))
    }

    /// What is handed out next for that certificate is wrong.
    pub(super) fn spoil(&self, request: &Request, chain: Chain) {
        let id = request.path.rsplit('/').next().and_then(|id| id.parse().ok());
        self.state().chains.insert(id.unwrap(), chain);
    }

    fn wrong(&self, chain: Chain, issued: &Issued) -> String {
        let minute = Duration::from_secs(60);
        let (from, to) = (issued.not_before, issued.not_after);
        let names = issued.names.clone();
        let other = || Csr::of_other_key(&names);
        match chain {
            Chain::Short => authority::pem("CERTIFICATE", &issued.der),
            Chain::Foreign => self.stranger.chain(&issued.der),
            Chain::OtherKey => self.authority.chain(&self.authority.sign(&other(), from, to)),
            Chain::OtherName => {
                let named = Csr { names: BTreeSet::from(["other.test".to_owned()]), ..other() };
                self.authority.chain(&self.authority.sign(&named, from, to))
            }
            Chain::Expired => {
                let own = Csr::parse_key(&issued.public_key, &names);
                self.authority.chain(&self.authority.sign(&own, from - 60 * minute, from - minute))
            }
            Chain::Garbage => "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n".into(),
            Chain::Empty => String::new(),
        }
    }

    /// By the account that has it, one that could get it, or the certificate's own key.
    pub(super) fn revoke(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let wanted = signed.json()?;
        let der = wanted["certificate"].as_str().map(decode).transpose()?.unwrap_or_default();
        let reason = wanted.get("reason").map_or(Some(0), Value::as_u64);
        let reason = reason.filter(|reason| matches!(reason, 0 | 1 | 3 | 4 | 5)).ok_or_else(|| {
            Problem::new(400, "badRevocationReason", "0, 1, 3, 4 and 5 are taken (RFC 5280, section 5.3.1)")
        })?;
        let mut state = self.state();
        let found = state.certificates.iter_mut().find(|issued| issued.der == der);
        let issued = found.ok_or_else(Problem::not_found)?;
        let may = match &signed.who {
            Who::Account(id) => *id == issued.account,
            Who::Key(key) => issued.public_key.ends_with(&key.point),
        };
        if !may {
            return Err(Problem::unauthorized("the certificate is another's"));
        }
        if issued.revoked.is_some() {
            return Err(Problem::new(400, "alreadyRevoked", "it is revoked already"));
        }
        issued.revoked = Some(reason);
        Ok(Response::empty(200))
    }

    /// RFC 9773, section 4.
    pub(super) fn renewal_info(&self, path: &str) -> Result<Response, Problem> {
        let window = self.setup().renewal.ok_or_else(Problem::not_found)?;
        let id = path.strip_prefix("/renewal-info/").unwrap_or_default();
        let state = self.state();
        let issued = state
            .certificates
            .iter()
            .find(|issued| issued.renewal_id == id)
            .ok_or_else(Problem::not_found)?;
        let life = issued.not_after.duration_since(issued.not_before).unwrap();
        let (start, end) = match window.when {
            When::OfLife(from, to) => {
                (issued.not_before + life.mul_f64(from), issued.not_before + life.mul_f64(to))
            }
            When::Between(from, to) => (from, to),
        };
        let body = json!({
            "suggestedWindow": { "start": rfc3339(start), "end": rfc3339(end) },
            "explanationURL": self.url("/why"),
        });
        Ok(Response::json(200, &body).with("Retry-After", window.retry_after.to_string()))
    }

    /// The certificate that an order is to take the place of (RFC 9773, section 5).
    pub(super) fn replaces(
        &self,
        wanted: &Value,
        account: usize,
        identifiers: &[Identifier],
    ) -> Result<Option<String>, Problem> {
        let Some(id) = wanted.get("replaces") else { return Ok(None) };
        let id = id.as_str().ok_or_else(|| Problem::malformed("replaces is no text"))?;
        let state = self.state();
        let known = state.certificates.iter().find(|issued| issued.renewal_id == id);
        let known = known.ok_or_else(|| Problem::malformed(format!("no certificate {id} to replace")))?;
        if known.account != account {
            return Err(Problem::unauthorized("the certificate to replace is another account's"));
        }
        if !names(identifiers).iter().any(|name| known.names.contains(name)) {
            return Err(Problem::malformed("the certificate to replace has none of these names"));
        }
        if state.certificates.iter().any(|issued| issued.replaces.as_deref() == Some(id)) {
            return Err(Problem::new(409, "alreadyReplaced", format!("{id} was replaced before")));
        }
        Ok(Some(id.to_owned()))
    }
}

fn names(identifiers: &[Identifier]) -> BTreeSet<String> {
    identifiers.iter().map(|identifier| identifier.value.clone()).collect()
}
