//! Records of DNS-01 at a real name server, Knot: made, seen, taken away, and refused.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, SystemTime};

use fluxheim::acme::dns::{DnsError, Provider, Record, Rfc2136, TsigKey};
use fluxheim_config::{TsigAlgorithm, UpstreamHost};

use crate::support::Knot;
use crate::support::knot::{KEY, STRANGER, own_address, secret};

/// What the configuration says, with the key of that name.
struct Wanted<'a> {
    server: SocketAddr,
    zone: Option<&'a str>,
    key: &'a str,
    secret: String,
    algorithm: TsigAlgorithm,
    patience: Duration,
}

impl<'a> Wanted<'a> {
    fn of(knot: &Knot) -> Self {
        Self {
            server: knot.address,
            zone: None,
            key: KEY,
            secret: secret(KEY),
            algorithm: TsigAlgorithm::HmacSha256,
            patience: Duration::from_secs(10),
        }
    }

    fn zone(self, zone: &'a str) -> Self {
        Self { zone: Some(zone), ..self }
    }

    /// The provider, whose system resolver asks `knot`.
    fn provider(&self, knot: &Knot) -> Rfc2136 {
        let config = fluxheim_config::Rfc2136 {
            host: UpstreamHost::Ip(self.server.ip()),
            port: self.server.port(),
            zone: self.zone.map(str::to_owned),
            key_name: Some(self.key.to_owned()),
            key_file: "/key".into(),
            algorithm: Some(self.algorithm),
            ttl: Duration::from_secs(60),
        };
        let key = TsigKey::parse(self.secret.as_bytes(), Some(self.key), Some(self.algorithm)).unwrap();
        Rfc2136::new(&config, key, self.patience, knot.resolver()).unwrap()
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// What comes of one record.
fn present(provider: &Rfc2136, name: &str) -> Result<Record, String> {
    run(provider.present(name, "value")).map_err(|error: DnsError| error.to_string())
}

#[test]
fn adds_and_removes_its_own_record_beside_others() {
    let knot = Knot::serving(&[("a.test.", "_acme-challenge TXT \"of the operator\"")]);
    let provider = Wanted::of(&knot).provider(&knot);
    let name = "_acme-challenge.a.test";
    run(async {
        let apex = provider.present(name, "apex").await.unwrap();
        let wild = provider.present(name, "wild").await.unwrap();
        let again = provider.present(name, "wild").await.unwrap();
        assert_eq!(wild, again);
        provider.visible(&apex).await.unwrap();
        provider.visible(&wild).await.unwrap();
        let mut all = knot.ask("TXT", name);
        all.sort();
        assert_eq!(all, ["\"apex\"", "\"of the operator\"", "\"wild\""]);
        provider.cleanup(apex).await.unwrap();
        provider.cleanup(wild.clone()).await.unwrap();
        provider.cleanup(wild).await.unwrap();
    });
    assert_eq!(knot.ask("TXT", name), ["\"of the operator\""]);
}

#[test]
fn finds_the_zone_and_follows_aliases() {
    let knot = Knot::serving(&[
        (
            "a.test.",
            "_acme-challenge.www CNAME www.acme\n_acme-challenge.loop CNAME _acme-challenge.loop\nacme NS ns",
        ),
        ("acme.a.test.", ""),
        ("deep.b.test.", ""),
    ]);
    let provider = Wanted::of(&knot).provider(&knot);
    present(&provider, "_acme-challenge.x.y.deep.b.test").unwrap();
    assert_eq!(knot.ask("TXT", "_acme-challenge.x.y.deep.b.test"), ["\"value\""]);
    let record = present(&provider, "_acme-challenge.www.a.test").unwrap();
    assert_eq!(knot.ask("TXT", "www.acme.a.test"), ["\"value\""]);
    run(provider.visible(&record)).unwrap();
    run(provider.cleanup(record)).unwrap();
    assert!(knot.ask("TXT", "www.acme.a.test").is_empty());
    let error = present(&provider, "_acme-challenge.loop.a.test").unwrap_err();
    assert!(error.contains("no loop"), "{error}");
    let error = present(&provider, "_acme-challenge.c.test").unwrap_err();
    assert!(error.contains("c.test"), "{error}");
    let fixed = Wanted::of(&knot).zone("acme.a.test").provider(&knot);
    let error = present(&fixed, "_acme-challenge.b.a.test").unwrap_err();
    assert!(error.contains("not in the zone acme.a.test. that acme.dns.zone names"), "{error}");
}

/// The names are another server's, who delegates the challenge to ours by a CNAME.
#[test]
fn is_delegated_to_by_a_zone_elsewhere() {
    let ours = Knot::serving(&[("acme.b.test.", "")]);
    let theirs = Knot::serving(&[("a.test.", "_acme-challenge CNAME a.acme.b.test.")]);
    let provider = Wanted::of(&ours).provider(&theirs);
    let record = present(&provider, "_acme-challenge.a.test").unwrap();
    assert_eq!(ours.ask("TXT", "a.acme.b.test"), ["\"value\""]);
    run(provider.visible(&record)).unwrap();
}

#[test]
fn says_why_it_is_refused() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let refused =
        |wanted: Wanted<'_>| present(&wanted.provider(&knot), "_acme-challenge.a.test").unwrap_err();
    let error = refused(Wanted { key: "nobody", ..Wanted::of(&knot) });
    assert!(error.contains("BADKEY"), "{error}");
    let error = refused(Wanted { secret: secret("wrong"), ..Wanted::of(&knot) });
    assert!(error.contains("BADSIG"), "{error}");
    // A key that the server knows, of another algorithm, and not for this zone.
    let stranger = Wanted { key: STRANGER, secret: secret(STRANGER), ..Wanted::of(&knot) };
    let error = refused(Wanted { algorithm: TsigAlgorithm::HmacSha256, ..stranger });
    assert!(error.contains("BADKEY"), "{error}");
    let stranger = Wanted { key: STRANGER, secret: secret(STRANGER), ..Wanted::of(&knot) };
    let error = refused(Wanted { algorithm: TsigAlgorithm::HmacSha512, ..stranger });
    assert!(error.contains("none that may change this name"), "{error}");
    let error = refused(Wanted::of(&knot).zone("test"));
    assert!(error.contains("NOTAUTH"), "{error}");
    assert!(knot.ask("TXT", "_acme-challenge.a.test").is_empty());
}

/// Knot's own time comes with its answer.
#[test]
fn says_how_far_clocks_are_apart() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let told =
        |clock| present(&Wanted::of(&knot).provider(&knot).with_clock(clock), "_acme-challenge.a.test");
    let error = told(|| SystemTime::now() - Duration::from_secs(3600)).unwrap_err();
    assert!(error.contains("BADTIME: its clock is 36") && error.contains("s ahead of ours"), "{error}");
    let error = told(|| SystemTime::now() + Duration::from_secs(3600)).unwrap_err();
    assert!(error.contains("BADTIME: its clock is 3") && error.contains("s behind ours"), "{error}");
    told(|| SystemTime::now() - Duration::from_secs(200)).unwrap();
}

/// As the documentation says it: TXT records of challenges, and nothing else.
#[test]
fn works_with_the_least_that_a_key_may_do() {
    let rule = "action: update\n   update-type: [TXT]\n   update-owner: name\n   update-owner-match: equal\n\
                \x20  update-owner-name: [_acme-challenge]";
    let knot = Knot::with(&[("a.test.", "")], rule, "");
    let provider = Wanted::of(&knot).provider(&knot);
    let record = present(&provider, "_acme-challenge.a.test").unwrap();
    run(provider.cleanup(record)).unwrap();
    let error = present(&provider, "www.a.test").unwrap_err();
    assert!(error.contains("none that may change this name"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let provider = Wanted { server: nobody, ..Wanted::of(&knot) }.zone("a.test").provider(&knot);
    let error = present(&provider, "_acme-challenge.a.test").unwrap_err();
    assert!(error.contains(&nobody.to_string()), "{error}");
}

/// The zone's second server gets the record when the first one tells it to, seconds later.
#[test]
fn waits_for_every_server_of_the_zone() {
    let (first, second) = (own_address(), own_address());
    let records = format!("@ NS ns2\nns2 A {}", second.ip());
    let primary = Knot::listening(first, &[("a.test.", &records)], "action: [update, transfer]", "");
    let provider = Wanted { patience: Duration::from_secs(3), ..Wanted::of(&primary) }.provider(&primary);
    let record = present(&provider, "_acme-challenge.a.test").unwrap();
    let error = run(provider.visible(&record)).unwrap_err().to_string();
    assert!(error.contains("not visible within 3 s") && error.contains(&second.to_string()), "{error}");

    let secondary = Knot::listening(second, &[("a.test.", &records)], "action: [update, transfer]", "");
    let error = run(provider.visible(&record)).unwrap_err().to_string();
    assert!(error.contains("ns2.a.test.") && error.contains("has not got it yet"), "{error}");
    let patient = Wanted { patience: Duration::from_secs(20), ..Wanted::of(&primary) }.provider(&primary);
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        secondary.update("zone a.test.\nadd _acme-challenge.a.test. 60 TXT value");
        secondary
    });
    run(patient.visible(&record)).unwrap();
    assert_eq!(late.join().unwrap().ask("TXT", "_acme-challenge.a.test"), ["\"value\""]);
}
