//! Faults on demand.

use std::time::Duration;

use super::problem::Problem;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Directory,
    NewNonce,
    NewAccount,
    Account,
    Orders,
    NewOrder,
    Order,
    Authorization,
    Challenge,
    Finalize,
    Certificate,
    Revoke,
    KeyChange,
    RenewalInfo,
}

/// Something that goes wrong so many times, after so many requests that fit went well.
#[derive(Clone)]
pub(crate) struct Fault {
    at: Option<Endpoint>,
    after: u32,
    times: u32,
    what: What,
}

/// How it goes wrong.
#[derive(Clone)]
pub(crate) enum What {
    /// The nonce is refused, as if it were too old.
    BadNonce,
    Problem(Problem),
    /// A status with a page of HTML, as a proxy in front of a CA says it.
    Status(u16),
    /// It goes well, later.
    Slow(Duration),
    /// The connection ends before anything happened.
    DropBefore,
    /// What was asked for happens; the connection ends before the answer.
    DropAfter,
    /// The certificate is not what was ordered.
    Chain(Chain),
}

/// What is wrong with a certificate that is handed out.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Chain {
    /// The leaf alone.
    Short,
    /// The leaf below another CA's intermediate.
    Foreign,
    /// For another key than the request's.
    OtherKey,
    /// For another name.
    OtherName,
    /// Over since a minute.
    Expired,
    /// No PEM at all.
    Garbage,
    Empty,
}

impl Fault {
    /// Once, the next time.
    pub(crate) fn at(endpoint: Endpoint, what: What) -> Self {
        Self { at: Some(endpoint), after: 0, times: 1, what }
    }

    /// Once, at the n-th request from now, whatever it is for; the first is 1.
    pub(crate) fn at_request(n: u32, what: What) -> Self {
        Self { at: None, after: n - 1, times: 1, what }
    }

    /// Only after so many.
    pub(crate) fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// Until the end of the test.
    pub(crate) fn always(self) -> Self {
        self.times(u32::MAX)
    }
}

/// What goes wrong with a request for `endpoint`; counts.
pub(super) fn next(faults: &mut Vec<Fault>, endpoint: Endpoint) -> Option<What> {
    let mut due = None;
    for fault in faults.iter_mut().filter(|fault| fault.at.is_none_or(|at| at == endpoint)) {
        if fault.after > 0 {
            fault.after -= 1;
        } else if due.is_none() {
            fault.times -= 1;
            due = Some(fault.what.clone());
        }
    }
    faults.retain(|fault| fault.times > 0);
    due
}
