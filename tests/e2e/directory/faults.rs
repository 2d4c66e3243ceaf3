//! Faults come when they are due, and what is dropped may have happened.

use std::time::{Duration, Instant};

use rcgen::KeyPair;

use super::answers::ready;
use super::client::{Client, dns};
use crate::support::acme_directory::{Chain, Directory, Endpoint, Fault, Problem, Setup, What};
use crate::support::run;

#[test]
fn faults_come_when_they_are_due() {
    let directory = Directory::start(Setup::default());
    let client = Client::with_account(&directory);
    let url = client.url("newOrder");
    let order = || client.post(&url, &dns("a.test"));
    directory.fail(Fault::at(Endpoint::NewOrder, What::Problem(Problem::rate_limited(7))).after(1).times(2));
    let statuses = [order(), order(), order(), order()].map(|answer| answer.status);
    assert_eq!(statuses, [201, 429, 429, 201]);
    directory.fail(Fault::at(Endpoint::NewOrder, What::Problem(Problem::rate_limited(7))));
    let limited = order();
    assert_eq!((limited.problem().as_str(), limited.header("Retry-After")), ("rateLimited", Some("7")));
    directory.fail(Fault::at(Endpoint::NewOrder, What::BadNonce));
    assert_eq!(order().problem(), "badNonce");
    directory.fail(Fault::at(Endpoint::NewOrder, What::Status(502)));
    assert_eq!((order().status, directory.count(Endpoint::NewOrder)), (502, 7));
    directory.fail(Fault::at(Endpoint::Directory, What::Slow(Duration::from_secs(1))));
    let begin = Instant::now();
    assert_eq!(client.curl(&[&directory.url()]).unwrap().status, 200);
    assert!(begin.elapsed() >= Duration::from_secs(1));
    directory.change(|setup| setup.reject_every = Some(1));
    assert_eq!(order().problem(), "badNonce");
}

#[test]
fn a_dropped_answer_is_not_a_dropped_request() {
    let directory = Directory::start(Setup::default());
    let client = Client::with_account(&directory);
    let orders =
        || client.get(&format!("{}/orders", client.account)).json()["orders"].as_array().unwrap().len();
    let order = || {
        let body = super::client::sign(
            &client.key,
            &client.header(&client.url("newOrder")),
            &dns("a.test").to_string(),
        );
        let kind = "Content-Type: application/jose+json";
        client.curl(&["-H", kind, "-d", &body.to_string(), &client.url("newOrder")])
    };
    directory.fail(Fault::at(Endpoint::NewOrder, What::DropBefore));
    assert!(order().is_none());
    assert_eq!(orders(), 0);
    directory.fail(Fault::at(Endpoint::NewOrder, What::DropAfter));
    assert!(order().is_none());
    assert_eq!(orders(), 1);
    // The nonce is the first request, the order the second.
    directory.fail(Fault::at_request(2, What::DropBefore));
    assert!(order().is_none());
    assert_eq!(orders(), 1);
}

#[test]
fn a_certificate_may_be_wrong_once() {
    let directory = Directory::start(Setup::default());
    let client = Client::with_account(&directory);
    let (url, body) = ready(&client, &directory, &dns("a.test"));
    let key = KeyPair::generate().unwrap();
    assert_eq!(client.finalize(&body, &["a.test"], &key).status, 200);
    let root = client.file("ca.pem", &directory.root_pem());
    let root = root.to_str().unwrap();
    // Whether OpenSSL believes it for the name, and whether it is for the key.
    let judged = || {
        let chain = client.file("chain.pem", &client.download(&url).text);
        let chain = chain.to_str().unwrap();
        let verify = ["verify", "-CAfile", root, "-untrusted", chain, "-verify_hostname", "a.test", chain];
        let shown = run("openssl", "openssl", &["x509", "-in", chain, "-noout", "-pubkey"]).stdout;
        (run("openssl", "openssl", &verify).status.success(), shown == key.public_key_pem().into_bytes())
    };
    let spoil = |chain| directory.fail(Fault::at(Endpoint::Certificate, What::Chain(chain)));
    let cases = [
        (Chain::Short, (false, true)),
        (Chain::Foreign, (false, true)),
        (Chain::OtherKey, (true, false)),
        (Chain::OtherName, (false, false)),
        (Chain::Expired, (false, true)),
        (Chain::Garbage, (false, false)),
        (Chain::Empty, (false, false)),
    ];
    for (number, (chain, expected)) in cases.into_iter().enumerate() {
        spoil(chain);
        assert_eq!(judged(), expected, "case {number}");
        assert_eq!(judged(), (true, true), "after case {number}");
    }
}
