//! What people are told about `[acme]`, word for word, and what they get where they say nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its premise fails")]

use std::path::Path;

use fluxheim_config::{
    AcmeChallenge, AcmeStorage, BeforeFirst, Config, DnsProvider, HostPattern, KeyType, Source,
    VhostCertificate, parse,
};

const LISTEN: &str = "[server]\nhttp = [\"0.0.0.0:8080\"]\n";
const BOTH: &str = "[server]\nhttp = [\"0.0.0.0:8080\"]\nhttps = [\"0.0.0.0:8443\"]\n";
const PLAIN: &str = "[acme]\ndirectory = \"https://ca.example/dir\"\nterms_of_service_agreed = true\n";

fn source(text: &str) -> Source {
    Source { path: "/etc/f/f.toml".into(), text: text.to_owned() }
}

/// Without the file's name.
fn told(text: &str) -> String {
    let text = parse(&[source(text)]).unwrap_err().to_string();
    text.replace("/etc/f/f.toml:", "")
}

fn read(text: &str) -> Config {
    parse(&[source(text)]).unwrap_or_else(|mistakes| panic!("{mistakes}\nin\n{text}"))
}

fn vhost(hosts: &str) -> String {
    format!(
        "[[vhosts]]\nhosts = [{hosts}]\ncertificate = \"acme\"\nroutes = [{{ path = \"/\", static = \"s\" }}]\n"
    )
}

#[test]
fn the_least_gets_every_default() {
    let config = read(&format!("{BOTH}{PLAIN}{}", vhost("\"a.example\", \"*\", \"192.0.2.1\"")));
    let acme = config.acme.as_ref().unwrap();
    let [issuer] = acme.issuers.as_slice() else { panic!("{acme:?}") };
    assert_eq!((&*issuer.name, issuer.challenge), ("default", AcmeChallenge::Http01));
    assert_eq!(issuer.key_type, KeyType::EcdsaP256);
    assert!(issuer.contact.is_empty() && issuer.profile.is_none() && issuer.ca_file.is_none());
    assert_eq!((acme.before_first, acme.renew_before), (BeforeFirst::Placeholder, None));
    assert_eq!((acme.max_orders_per_hour, acme.max_concurrent_orders), (100, 8));
    assert_eq!(acme.storage, AcmeStorage::Folder("/var/lib/fluxheim".into()));
    assert!(acme.dns.is_none() && config.has_secrets());
    assert_eq!(config.vhosts[0].certificate, VhostCertificate::Acme);
    let hosts: Vec<_> = config.acme_hosts().collect();
    let exact = |name: &str| HostPattern::Exact(name.to_owned());
    assert_eq!(hosts, [&exact("a.example"), &exact("192.0.2.1")]);
}

#[test]
fn an_issuer_takes_over_the_operators_ways_and_nothing_of_another_ca() {
    let text = "[acme]\ndirectory = \"https://ca.example/dir\"\nterms_of_service_agreed = true\n\
                contact = [\"mailto:a@b.c\"]\nchallenge = \"tls-alpn-01\"\nprofile = \"short\"\nca_file = \"ca.pem\"\n\
                [[acme.issuers]]\nname = \"two\"\ndirectory = \"https://[::1]:14000/dir\"\n\
                terms_of_service_agreed = true\nkey_type = \"rsa-2048\"\n";
    let acme = read(&format!("{LISTEN}{text}")).acme.unwrap();
    let [one, two] = acme.issuers.as_slice() else { panic!("{acme:?}") };
    assert_eq!(one.ca_file.as_deref(), Some(Path::new("/etc/f/ca.pem")));
    assert_eq!((&two.contact, two.challenge), (&one.contact, AcmeChallenge::TlsAlpn01));
    assert!(two.profile.is_none() && two.ca_file.is_none());
    assert_eq!(two.key_type, KeyType::Rsa2048);
}

#[test]
fn no_account_is_opened_unless_somebody_agreed_to_the_terms() {
    assert_eq!(
        told(&format!("{LISTEN}[acme]\ndirectory = \"https://ca.example/dir\"\n")),
        "4:13: terms_of_service_agreed: the CA issues only to those who agree to its terms of service; \
         read them, and set terms_of_service_agreed = true"
    );
    assert!(
        told(&format!("{LISTEN}{}", PLAIN.replace("true", "false"))).starts_with("5:27: terms_of_service")
    );
}

#[test]
fn a_directory_is_an_https_url() {
    for (url, said) in [
        ("http://ca.example/dir", "is not an https URL"),
        ("ca.example", "is not an https URL"),
        ("https://", "has no valid host"),
        ("https://a b/", "is not a URL"),
        ("https://u:p@ca.example/", "has a user name in it"),
        ("https://ca.example:0/", "has no valid host"),
        ("https://ca.example:x/", "has no valid host"),
        ("https://[::1/", "has no valid host"),
        ("https://[::1]x/", "has no valid host"),
        ("https://ca.example/#a", "is not a URL"),
    ] {
        let text = PLAIN.replace("https://ca.example/dir", url);
        let told = told(&format!("{LISTEN}{text}"));
        assert!(told.starts_with("4:13: directory: ") && told.contains(said), "{url}: {told}");
    }
    assert!(told(&format!("{LISTEN}[acme]\n")).contains("[acme] has no directory; add directory, the URL"));
}

#[test]
fn contacts_are_mail_addresses_one_by_one() {
    for (contact, said) in [
        ("ops@example.com", "is not a mailto URL; write \\\"mailto:ops@example.com\\\""),
        ("tel:1", "is not a mailto URL; CAs write to"),
        ("mailto:a@b.c,d@e.f", "is not one mail address"),
        ("mailto:a@b.c?subject=x", "is not one mail address"),
        ("mailto:nobody", "is not one mail address"),
    ] {
        let told = told(&format!("{LISTEN}{PLAIN}contact = [\"{contact}\"]\n"));
        assert!(told.contains(&said.replace("\\\"", "\"")), "{contact}: {told}");
    }
}

#[test]
fn what_is_about_one_ca_needs_that_ca() {
    let text = "[acme]\nprofile = \"p\"\n[[acme.issuers]]\nname = \"one\"\n\
                directory = \"https://ca.example/\"\nterms_of_service_agreed = true\n";
    assert_eq!(
        told(&format!("{LISTEN}{text}")),
        "4:11: profile is about one CA, and [acme] names none with directory; \
         move profile to its [[acme.issuers]]"
    );
    let twice = "[[acme.issuers]]\nname = \"default\"\ndirectory = \"https://ca.example/\"\n\
                 terms_of_service_agreed = true\n";
    assert!(told(&format!("{LISTEN}{PLAIN}{twice}")).contains("already the name of another issuer"));
}

#[test]
fn certificates_are_ordered_only_where_they_can_be_had() {
    let with = |acme: &str, hosts: &str| told(&format!("{BOTH}{acme}{}", vhost(hosts)));
    assert_eq!(
        with("", "\"a.example\""),
        "4:1: certificate = \"acme\" has no issuer: there is no [acme]; \
         add [acme] with directory and terms_of_service_agreed"
    );
    assert!(with(PLAIN, "\"*\"").contains("\"acme\" needs names, and hosts has none but \"*\""));
    assert!(with(PLAIN, "\"*.a.example\"").contains(
        "no issuer can validate \"*.a.example\" by http-01; wildcards take challenge = \"dns-persist-01\""
    ));
    let persist = format!("{PLAIN}challenge = \"dns-persist-01\"\n");
    assert!(
        with(&persist, "\"192.0.2.1\"").contains("can validate \"192.0.2.1\" by dns-persist-01; addresses")
    );
    read(&format!("{BOTH}{persist}{}", vhost("\"*.a.example\", \"a.example\"")));
}

#[test]
fn somebody_listens_where_the_ca_asks() {
    let secure = "[server]\nhttps = [\"0.0.0.0:8443\"]\n";
    assert!(
        told(&format!("{secure}{PLAIN}{}", vhost("\"a.example\"")))
            .contains("asks over plain HTTP on port 80")
    );
    let alpn = format!("{PLAIN}challenge = \"tls-alpn-01\"\n");
    read(&format!("{secure}{alpn}{}", vhost("\"a.example\"")));
    let plain = "[server]\nhttp = [\"0.0.0.0:8080\"]\n";
    assert!(
        told(&format!("{plain}{PLAIN}{}", vhost("\"a.example\"")))
            .contains("nothing serves the certificates")
    );
}

#[test]
fn a_provider_has_its_keys_and_no_others() {
    let dns = |keys: &str| format!("{LISTEN}{PLAIN}challenge = \"dns-01\"\n[acme.dns]\n{keys}\n");
    assert!(told(&dns("")).contains("[acme.dns] has no provider"));
    let exec = told(&dns("provider = \"exec\""));
    assert!(exec.contains("\"exec\" is not offered") && exec.contains("use \"hook\""), "{exec}");
    assert!(told(&dns("provider = \"rfc2136\"\nserver = \"ns\"")).contains("has no key_file"));
    let none = format!("{LISTEN}{PLAIN}challenge = \"dns-01\"\n");
    assert!(told(&none).contains("issuer \"default\" needs records, and nothing says how; add [acme.dns]"));
    let config = read(&dns("provider = \"rfc2136\"\nserver = \"::1\"\nkey_file = \"k\""));
    let Some(DnsProvider::Rfc2136(update)) = config.acme.unwrap().dns.map(|dns| dns.provider) else {
        panic!("another provider")
    };
    assert_eq!((update.port, update.ttl.as_secs(), update.algorithm), (53, 60, None));
    assert!(told(&dns("provider = \"hook\"")).contains("has no socket"));
    assert!(told(&dns("provider = \"hook\"\nsocket = \"127.0.0.1:9\"")).contains("is no path"));
    let mixed = told(&dns("provider = \"hook\"\nsocket = \"/r/h.sock\"\nserver = \"ns\"\nttl = \"1m\""));
    for key in ["server", "ttl"] {
        let expected = format!("{key}: it goes with provider = \"rfc2136\" alone; remove {key}");
        assert!(mixed.contains(&expected), "{mixed}");
    }
    let mixed = told(&dns("provider = \"rfc2136\"\nserver = \"ns\"\nkey_file = \"k\"\ntimeout = \"1m\""));
    assert!(mixed.contains("timeout: it goes with provider = \"hook\" alone"), "{mixed}");
    let config = read(&dns("provider = \"hook\"\nsocket = \"run/h.sock\"\nzone = \"A.example\""));
    let both =
        format!("{}[admin]\nsocket = \"/r/h.sock\"\n", dns("provider = \"hook\"\nsocket = \"/r/h.sock\""));
    for same in
        [both.clone(), both.replacen("/r/h.sock", "/r/../r/./h.sock", 1), both.replacen("/r/", "/../r//", 1)]
    {
        assert!(told(&same).contains("dns.socket: the admin API listens there"), "{same}: {}", told(&same));
    }
    read(&both.replacen("/r/h.sock", "/r/../h.sock", 1));
    let acme = config.acme.unwrap();
    let hook = acme.hook().unwrap();
    assert_eq!((hook.socket.as_path(), hook.timeout.as_secs()), (Path::new("/etc/f/run/h.sock"), 150));
    assert_eq!(hook.zone.as_deref(), Some("a.example"));
}

#[test]
fn state_is_kept_in_one_place() {
    let storage = |keys: &str| told(&format!("{LISTEN}{PLAIN}[acme.storage]\n{keys}\n"));
    let redis = "address = \"r:1\", seal_key_file = \"s\"";
    assert!(
        storage(&format!("path = \"/p\"\nredis = {{ {redis} }}")).contains("the state is kept in one place")
    );
    assert!(
        storage("redis = { address = \"rediss://r:1\" }")
            .contains("write host and port only, with tls = true")
    );
    assert!(storage("redis = { address = \"r:1\" }").contains("has no seal_key_file"));
    assert!(storage(&format!("redis = {{ {redis}, username = \"u\" }}")).contains("add password_file"));
    assert!(
        storage(&format!("redis = {{ {redis}, tls = false, ca_file = \"c\" }}"))
            .contains("beside tls = false")
    );
    assert!(storage("redis = { address = \"r:1\", seal_key_file = [] }").contains("the list is empty"));
    assert!(storage(&format!("redis = {{ {redis}, prefix = \"{{a}}\" }}")).contains("can't begin a key"));
}

#[test]
fn everything_that_can_be_judged_is_told_at_once() {
    let text = "[server]\nhttp = []\n\
                [acme]\ndirectory = \"http://ca.example/dir\"\nrenew_before = \"1s\"\n\
                external_account = { key_id_file = \"k\" }\n\
                [[acme.issuers]]\nname = \"two\"\nchallenge = \"dns-01\"\n\
                [[acme.issuers]]\ndirectory = \"https://b.example/\"\nkey_type = \"ecdsa\"\n\
                [acme.storage]\nredis = { tls = false, ca_file = \"c\", username = \"u\", prefix = \"{}\" }\n";
    let text = format!("{text}{}", vhost("\"*\""));
    let told = told(&text);
    for said in [
        "4:13: directory: \"http://ca.example/dir\" is not an https URL",
        "4:13: terms_of_service_agreed: the CA issues only",
        "5:16: renew_before: \"1s\" leaves no time",
        "has no hmac_key_file",
        "has no directory",
        "issuer \"two\" needs records, and nothing says how",
        "[[acme.issuers]] has no name",
        "key_type: unknown word \"ecdsa\"",
        "beside tls = false",
        "add password_file",
        "can't begin a key",
        "has no address",
        "has no seal_key_file",
        "needs names, and hosts has none but",
        "https: nothing serves the certificates",
        "http: the CA asks over plain HTTP on port 80, where nothing listens",
    ] {
        assert!(told.contains(said), "{said:?} is not in\n{told}");
    }
    // What both lack is asked of both.
    assert_eq!(told.matches("terms_of_service_agreed: the CA issues").count(), 3, "{told}");
}

#[test]
fn a_flaw_elsewhere_hides_no_host_that_nobody_can_validate() {
    let flawed = "[acme]\ndirectory = \"ca.example\"\nchallenge = \"dns-persist-01\"\n";
    let told = |acme: &str, hosts: &str| told(&format!("{BOTH}{acme}{}", vhost(hosts)));
    assert!(told(flawed, "\"192.0.2.1\"").contains("can validate \"192.0.2.1\" by dns-persist-01"));
    // A challenge that can't be told may be the right one.
    let unclear = flawed.replace("dns-persist-01", "dns-persist");
    assert!(!told(&unclear, "\"192.0.2.1\"").contains("can validate"));
    // Nor does a listener that can't be read make everything else look right; of listeners nothing is said then.
    let text = "[server]\nhttp = [\":80\"]\n[acme]\n".to_owned() + &vhost("\"a.example\"");
    let told = self::told(&text);
    assert!(told.contains("[acme] has no directory") && told.contains("http: \":80\" is not"), "{told}");
    assert!(!told.contains("nothing listens") && !told.contains("nothing serves"), "{told}");
}

#[test]
fn names_that_other_programs_have_lead_to_the_keys_here() {
    let text = "[acme]\nemail = \"a@b.c\"\nstaging = true\nterms_of_service_agreed = true\n";
    assert_eq!(
        told(&format!("{LISTEN}{text}")),
        "4:1: unknown key \"email\" in [acme]; here it is called \"contact\", as in contact = \
         [\"mailto:ops@example.com\"]\n\
         5:1: unknown key \"staging\" in [acme]; here it is called \"directory\", as in directory = \
         \"https://acme-staging-v02.api.letsencrypt.org/directory\" for trials at Let's Encrypt"
    );
    assert!(told(&format!("{LISTEN}{PLAIN}eab = {{}}\n")).contains("here it is called \"external_account\""));
}

#[test]
fn a_challenge_is_pointed_at_where_it_stands() {
    let issuer = "[[acme.issuers]]\nname = \"one\"\ndirectory = \"https://ca.example/\"\n\
                  terms_of_service_agreed = true\n";
    let own = told(&format!("{LISTEN}[acme]\n{issuer}challenge = \"dns-01\"\n"));
    assert!(own.starts_with("8:13: challenge: issuer \"one\" needs records"), "{own}");
    let inherited = told(&format!("{LISTEN}[acme]\nchallenge = \"dns-01\"\n{issuer}"));
    assert!(inherited.starts_with("4:13: challenge: issuer \"one\" needs records"), "{inherited}");
}
