//! Accounts: made, bound, changed, rekeyed, ended (RFC 8555, section 7.3).

use serde_json::{Value, json};

use super::http::Response;
use super::jws::{Jws, Key};
use super::problem::Problem;
use super::service::{Service, Signed, Who};
use super::state::{Account, Status};

impl Service {
    pub(super) fn new_account(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let Who::Key(key) = &signed.who else {
            return Err(Problem::malformed("sign with jwk"));
        };
        let wanted = signed.json()?;
        let known = self.state().accounts.iter().position(|account| account.key == *key);
        if let Some(id) = known {
            let status = self.state().accounts[id].status;
            return match status {
                Status::Valid => Ok(self.show(id, 200)),
                status => Err(Problem::unauthorized(format!("the account is {status:?}"))),
            };
        }
        if wanted["onlyReturnExisting"] == true {
            return Err(Problem::new(400, "accountDoesNotExist", "no account has this key"));
        }
        if wanted["termsOfServiceAgreed"] != true {
            return Err(Problem::new(403, "userActionRequired", "the terms of service have to be agreed to"));
        }
        let contact = contact(&wanted)?.unwrap_or_else(|| json!([]));
        let binding = self.binding(&wanted, key)?;
        let thumbprints = vec![key.thumbprint()];
        let id = {
            let accounts = &mut self.state().accounts;
            accounts.push(Account { key: key.clone(), thumbprints, contact, status: Status::Valid, binding });
            accounts.len() - 1
        };
        Ok(self.show(id, 201))
    }

    /// The external account (section 7.3.4), where one is asked for.
    fn binding(&self, wanted: &Value, key: &Key) -> Result<Option<Value>, Problem> {
        let external = self.setup().external_accounts;
        let Some(binding) = wanted.get("externalAccountBinding") else {
            return match external.is_empty() {
                true => Ok(None),
                false => Err(Problem::new(403, "externalAccountRequired", "an external account is needed")),
            };
        };
        let jws = Jws::parse(binding.to_string().as_bytes())?;
        if jws.header.nonce.is_some() || self.path_of(&jws.header.url) != Some("/new-account") {
            return Err(Problem::malformed("a binding has the url of newAccount and no nonce"));
        }
        let kid = jws.header.kid.clone().unwrap_or_default();
        let (_, secret) = external
            .iter()
            .find(|(id, _)| *id == kid)
            .ok_or_else(|| Problem::unauthorized(format!("no external account {kid}")))?;
        let bound: Value = serde_json::from_slice(jws.verify_mac(secret)?)
            .map_err(|error| Problem::malformed(format!("the binding's payload: {error}")))?;
        if Key::parse(&bound)? != *key {
            return Err(Problem::malformed("the binding is for another key"));
        }
        Ok(Some(binding.clone()))
    }

    pub(super) fn account(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let id = signed.account()?;
        if signed.id("/account/")? != id {
            return Err(Problem::unauthorized("this is another account"));
        }
        if !signed.payload.is_empty() {
            let wanted = signed.json()?;
            let contact = contact(&wanted)?;
            let account = &mut self.state().accounts[id];
            account.contact = contact.unwrap_or_else(|| account.contact.clone());
            match wanted.get("status").map(Value::as_str) {
                None => {}
                Some(Some("deactivated")) => account.status = Status::Deactivated,
                Some(_) => {
                    return Err(Problem::malformed("an account's status can be set to deactivated only"));
                }
            }
        }
        Ok(self.show(id, 200))
    }

    pub(super) fn orders_of(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let id = signed.account()?;
        if signed.id("/account/")? != id {
            return Err(Problem::unauthorized("this is another account"));
        }
        signed.must_be_empty()?;
        let orders: Vec<String> = self
            .state()
            .orders
            .iter()
            .enumerate()
            .filter(|(_, order)| order.account == id)
            .map(|(order, _)| self.url(&format!("/order/{order}")))
            .collect();
        Ok(Response::json(200, &json!({ "orders": orders })))
    }

    /// Section 7.3.5: the outer JWS is by the old key, the inner one by the new.
    pub(super) fn key_change(&self, signed: &Signed<'_>) -> Result<Response, Problem> {
        let id = signed.account()?;
        let inner = Jws::parse(&signed.payload)?;
        let header = &inner.header;
        if header.nonce.is_some() || self.path_of(&header.url) != Some(signed.path) {
            return Err(Problem::malformed("the inner JWS has the same url and no nonce"));
        }
        let jwk = header.jwk.as_ref().ok_or_else(|| Problem::malformed("the inner JWS has no jwk"))?;
        let new = Key::parse(jwk)?;
        let wanted: Value = serde_json::from_slice(inner.verify(&new)?)
            .map_err(|error| Problem::malformed(format!("the inner payload: {error}")))?;
        let mut state = self.state();
        if wanted["account"] != self.url(&format!("/account/{id}"))
            || Key::parse(&wanted["oldKey"])? != state.accounts[id].key
        {
            return Err(Problem::malformed("account and oldKey have to be those of the outer JWS"));
        }
        if let Some(other) = state.accounts.iter().position(|account| account.key == new) {
            let location = Some(self.url(&format!("/account/{other}")));
            return Err(Problem {
                location,
                ..Problem::new(409, "malformed", "another account has that key")
            });
        }
        state.accounts[id].thumbprints.push(new.thumbprint());
        state.accounts[id].key = new;
        drop(state);
        Ok(self.show(id, 200))
    }

    fn show(&self, id: usize, status: u16) -> Response {
        let state = self.state();
        let account = &state.accounts[id];
        let url = self.url(&format!("/account/{id}"));
        let mut body = json!({
            "status": account.status, "contact": account.contact, "termsOfServiceAgreed": true,
            "orders": format!("{url}/orders"),
        });
        if let Some(binding) = &account.binding {
            body["externalAccountBinding"] = binding.clone();
        }
        Response::json(status, &body).with("Location", url)
    }
}

/// Mail addresses, each one and no more of it (section 7.3).
fn contact(wanted: &Value) -> Result<Option<Value>, Problem> {
    let Some(contact) = wanted.get("contact") else { return Ok(None) };
    let list = contact.as_array().ok_or_else(|| Problem::malformed("contact is no list"))?;
    for one in list {
        let url = one.as_str().ok_or_else(|| Problem::malformed("a contact is no text"))?;
        let address = url.strip_prefix("mailto:").ok_or_else(|| {
            Problem::new(400, "unsupportedContact", format!("{url} is no mailto:, the only kind here"))
        })?;
        if !address.contains('@') || address.contains([',', '?']) {
            return Err(Problem::new(400, "invalidContact", format!("{address} is no single mail address")));
        }
    }
    Ok(Some(contact.clone()))
}
