//! Orders, authorizations, challenges (RFC 8555, sections 7.4 and 7.5).

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::http::{Response, rfc3339};
use super::jws::encode;
use super::problem::Problem;
use super::service::{Service, Signed};
use super::setup::{Draft, Setup};
use super::state::{Authorization, Challenge, Identifier, Order, Status};
use super::validation::Plan;

impl Service {
    pub(super) fn new_order(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let account = signed.account()?;
        let setup = self.setup();
        let wanted = signed.json()?;
        if wanted.get("notBefore").is_some() || wanted.get("notAfter").is_some() {
            return Err(Problem::malformed("notBefore and notAfter are not offered"));
        }
        let identifiers = identifiers(&wanted)?;
        let profile = profile(&wanted, &setup)?;
        let replaces = self.replaces(&wanted, account, &identifiers)?;
        let authorizations =
            identifiers.iter().map(|identifier| self.authorize(account, identifier, &setup)).collect();
        let now = SystemTime::now();
        let id = {
            let mut state = self.state();
            state.orders.push(Order {
                account,
                identifiers,
                authorizations,
                status: Status::Pending,
                error: None,
                profile,
                replaces,
                certificate: None,
                done: now,
                expires: now + Duration::from_secs(3600),
            });
            state.orders.len() - 1
        };
        Ok(self.show_order(id, 201))
    }

    /// An authorization for that name: a valid one again, or one that is pending.
    fn authorize(&self, account: usize, identifier: &Identifier, setup: &Setup) -> usize {
        let mut state = self.state();
        let now = SystemTime::now();
        let fits = |known: &Authorization| {
            known.account == account
                && known.identifier == *identifier
                && known.status == Status::Valid
                && known.expires > now
        };
        if let Some(id) = state.authorizations.iter().position(fits).filter(|_| setup.reuse_authorizations) {
            return id;
        }
        let offered = |kind: &&&'static str| match **kind {
            "dns-01" | "dns-persist-01" => identifier.kind == "dns",
            _ => !identifier.is_wildcard(),
        };
        let challenge = |kind: &&'static str| Challenge {
            kind,
            token: token(),
            status: Status::Pending,
            error: None,
            validated: None,
        };
        state.authorizations.push(Authorization {
            account,
            identifier: identifier.clone(),
            status: Status::Pending,
            expires: now + Duration::from_secs(3600),
            challenges: setup.challenges.iter().filter(offered).map(challenge).collect(),
        });
        state.authorizations.len() - 1
    }

    pub(super) fn order(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let id = self.own_order(signed)?;
        signed.must_be_empty()?;
        Ok(self.show_order(id, 200))
    }

    /// The order of the path, if it is the account's.
    pub(super) fn own_order(&self, signed: &Signed<'_>) -> Result<usize, Problem> {
        let (account, id) = (signed.account()?, signed.id("/order/")?);
        let mut state = self.state();
        match state.orders.get(id).ok_or_else(Problem::not_found)?.account == account {
            true => state.settle(id, SystemTime::now()),
            false => return Err(Problem::unauthorized("this is another account's order")),
        }
        Ok(id)
    }

    pub(super) fn show_order(&self, id: usize, status: u16) -> Response {
        let setup = self.setup();
        let mut state = self.state();
        state.settle(id, SystemTime::now());
        let order = &state.orders[id];
        let url = self.url(&format!("/order/{id}"));
        let authorization = |id: &usize| self.url(&format!("/authorization/{id}"));
        let mut body = json!({
            "status": order.status,
            "expires": rfc3339(order.expires),
            "identifiers": order.identifiers.iter().map(|one| one.json(&one.value)).collect::<Vec<_>>(),
            "authorizations": order.authorizations.iter().map(authorization).collect::<Vec<_>>(),
            "finalize": format!("{url}/finalize"),
        });
        let optional = [
            ("error", order.error.as_ref().map(Problem::document)),
            ("profile", order.profile.clone().map(Value::from)),
            ("replaces", order.replaces.clone().map(Value::from)),
            (
                "certificate",
                order
                    .certificate
                    .filter(|_| order.status == Status::Valid)
                    .map(|id| self.url(&format!("/certificate/{id}")).into()),
            ),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        let mut response = Response::json(status, &body).with("Location", url);
        let waiting = order.status == Status::Processing;
        response
            .header("Retry-After", setup.retry_after.filter(|_| waiting).map(|seconds| seconds.to_string()));
        response
    }

    pub(super) fn authorization(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let (account, id) = (signed.account()?, signed.id("/authorization/")?);
        let setup = self.setup();
        let mut state = self.state();
        let authorization = state.authorizations.get_mut(id).ok_or_else(Problem::not_found)?;
        if authorization.account != account {
            return Err(Problem::unauthorized("this is another account's authorization"));
        }
        if !signed.payload.is_empty() {
            match signed.json()?["status"].as_str() {
                Some("deactivated") => authorization.status = Status::Deactivated,
                _ => {
                    return Err(Problem::malformed(
                        "an authorization's status can be set to deactivated only",
                    ));
                }
            }
        }
        let waiting = authorization.challenges.iter().any(|one| one.status == Status::Processing);
        let mut body = json!({
            "status": authorization.status,
            "expires": rfc3339(authorization.expires),
            "identifier": authorization.identifier.json(authorization.identifier.base()),
            "challenges": authorization.challenges.iter().map(|one| self.show_challenge(id, account, one, &setup))
                .collect::<Vec<_>>(),
        });
        if authorization.identifier.is_wildcard() {
            body["wildcard"] = json!(true);
        }
        let mut response = Response::json(200, &body);
        response
            .header("Retry-After", setup.retry_after.filter(|_| waiting).map(|seconds| seconds.to_string()));
        Ok(response)
    }

    fn show_challenge(&self, id: usize, account: usize, challenge: &Challenge, setup: &Setup) -> Value {
        let mut body = json!({
            "type": challenge.kind, "status": challenge.status,
            "url": self.url(&format!("/challenge/{id}/{}", challenge.kind)),
        });
        match (challenge.kind, setup.persist) {
            ("dns-persist-01", Draft::One) => {
                body["issuer-domain-names"] = json!(setup.issuers);
                body["accounturi"] = json!(self.url(&format!("/account/{account}")));
            }
            ("dns-persist-01", Draft::Two) => body["issuerDomainNames"] = json!(setup.issuers),
            _ => body["token"] = json!(challenge.token),
        }
        if let Some(problem) = &challenge.error {
            body["error"] = problem.document();
        }
        if let Some(time) = challenge.validated {
            body["validated"] = json!(rfc3339(time));
        }
        body
    }

    /// Looked at, or told to begin.
    pub(super) fn challenge(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let (account, id) = (signed.account()?, signed.id("/challenge/")?);
        let kind = signed.path.rsplit('/').next().unwrap_or_default();
        let setup = self.setup();
        let mut state = self.state();
        let authorization = state.authorizations.get_mut(id).ok_or_else(Problem::not_found)?;
        if authorization.account != account {
            return Err(Problem::unauthorized("this is another account's challenge"));
        }
        let (identifier, open) = (authorization.identifier.clone(), authorization.status == Status::Pending);
        let challenge = authorization
            .challenges
            .iter_mut()
            .find(|one| one.kind == kind)
            .ok_or_else(Problem::not_found)?;
        if !signed.payload.is_empty() {
            if signed.json()? != json!({}) {
                return Err(Problem::malformed("the payload has to be {}"));
            }
            if !open {
                return Err(Problem::malformed("the authorization is not pending"));
            }
            if challenge.status == Status::Pending {
                challenge.status = Status::Processing;
                let (kind, token) = (challenge.kind, challenge.token.clone());
                let body = self.show_challenge(id, account, challenge, &setup);
                let thumbprints = state.accounts[account].thumbprints.clone();
                drop(state);
                self.validate(id, Plan::new(self, kind, identifier, token, account, thumbprints));
                return Ok(self.with_up(id, &body));
            }
        }
        let body = self.show_challenge(id, account, challenge, &setup);
        Ok(self.with_up(id, &body))
    }

    /// A challenge says which authorization it is of (section 7.1).
    fn with_up(&self, id: usize, body: &Value) -> Response {
        let up = format!("<{}>;rel=\"up\"", self.url(&format!("/authorization/{id}")));
        Response::json(200, body).with("Link", up)
    }

    /// Looks for the answer to the challenge, after the answer to the request.
    fn validate(&self, id: usize, plan: Plan) {
        let service = self.me();
        std::thread::spawn(move || {
            let result = plan.check();
            let mut state = service.state();
            let authorization = &mut state.authorizations[id];
            let challenge = authorization.challenges.iter_mut().find(|one| one.kind == plan.kind()).unwrap();
            (challenge.status, challenge.error, challenge.validated) = match result {
                Ok(()) => (Status::Valid, None, Some(SystemTime::now())),
                Err(problem) => (Status::Invalid, Some(problem), None),
            };
            // One good answer is enough, and one bad answer is (section 7.1.6).
            if authorization.status == Status::Pending {
                authorization.status = challenge.status;
            }
        });
    }
}

/// A token of 128 bits (section 8).
fn token() -> String {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).unwrap();
    encode(&octets)
}

/// Names in lower case, addresses as RFC 5952 writes them, none twice.
fn identifiers(wanted: &Value) -> Result<Vec<Identifier>, Problem> {
    let list = wanted["identifiers"].as_array().filter(|list| !list.is_empty() && list.len() <= 100);
    let mut identifiers = Vec::new();
    for one in list.ok_or_else(|| Problem::malformed("an order is for 1 to 100 identifiers"))? {
        let (Some(kind), Some(value)) = (one["type"].as_str(), one["value"].as_str()) else {
            return Err(Problem::malformed("an identifier has type and value"));
        };
        let identifier = Identifier { kind: kind.to_owned(), value: value.to_owned() };
        let good = match kind {
            "dns" => is_name(identifier.base()),
            "ip" => value.parse::<IpAddr>().is_ok_and(|address| address.to_string() == value),
            _ => return Err(Problem::new(400, "unsupportedIdentifier", format!("{kind} is not known"))),
        };
        if !good {
            let identifiers = vec![one.clone()];
            let detail = format!("{value} can't be in a certificate");
            return Err(Problem { identifiers, ..Problem::new(400, "rejectedIdentifier", detail) });
        }
        if identifiers.contains(&identifier) {
            return Err(Problem::malformed(format!("{value} stands twice")));
        }
        identifiers.push(identifier);
    }
    Ok(identifiers)
}

/// At least two labels of lower case letters, digits and hyphens; no address.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

/// The profile, if one is wanted and known (draft-ietf-acme-profiles, section 4).
fn profile(wanted: &Value, setup: &Setup) -> Result<Option<String>, Problem> {
    let Some(name) = wanted.get("profile") else { return Ok(None) };
    let known = setup.profiles.iter().find(|profile| *name == *profile.name);
    known
        .map(|profile| Some(profile.name.clone()))
        .ok_or_else(|| Problem::new(400, "invalidProfile", format!("there is no profile {name}")))
}
