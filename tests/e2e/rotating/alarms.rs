//! What can't be used: nothing of it is, an alarm stands until it is mended, and it is said once.

use std::time::SystemTime;

use super::*;

/// A certificate for `a.test` that is valid from and until so many seconds from now.
fn dated(folder: &Path, from: i64, until: i64) -> Pair {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let date = |at: i64| {
        let output = run("date", "coreutils", &["-u", "-d", &format!("@{}", now + at), "+%Y%m%d%H%M%SZ"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let dir = folder.to_str().unwrap();
    let path = |name: &str| format!("{dir}/{name}");
    fs::write(path("index.txt"), "").unwrap();
    let config = format!(
        "[ca]\ndefault_ca = d\n[d]\ndatabase = {dir}/index.txt\nnew_certs_dir = {dir}\ndefault_md = sha256\n\
         rand_serial = yes\nunique_subject = no\npolicy = p\nx509_extensions = e\n[p]\ncommonName = supplied\n\
         [e]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = DNS:a.test\n"
    );
    fs::write(path("ca.cnf"), config).unwrap();
    let (key, csr, cert, cnf) = (path("d.key"), path("d.csr"), path("d.pem"), path("ca.cnf"));
    openssl_run(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=a.test",
        "-keyout",
        &key,
        "-out",
        &csr,
    ]);
    let (from, until) = (date(from), date(until));
    openssl_run(&[
        "ca",
        "-batch",
        "-notext",
        "-selfsign",
        "-config",
        &cnf,
        "-keyfile",
        &key,
        "-in",
        &csr,
        "-out",
        &cert,
        "-startdate",
        &from,
        "-enddate",
        &until,
    ]);
    Pair::at(&(cert.into(), key.into()))
}

const ALARM: &str = "replaced by what can't be used: what was read before stays in use";

#[test]
fn keeps_the_old_pair_raises_an_alarm_says_it_once_and_recovers() {
    let pairs = pairs(3);
    let flux = site("[tls]\nwatch_poll = \"1s\"", &pairs[0]);
    let (clients, tls) = (client(&pairs), flux.dir.path().join("tls"));
    assert_eq!(metric(&flux, FAILED), Some(0.0));
    let loaded = "fluxheim_file_loaded_timestamp_seconds{role=\"certificate\"";
    let first = metric(&flux, loaded).unwrap();
    let crowd = Crowd::of(1, flux.https(), &clients);
    write(&tls.join("a.pem"), &pairs[1].cert);
    let said = flux.wait_for(ALARM);
    assert_eq!((said["level"].as_str(), said["name"].as_str()), (Some("ERROR"), Some("tls.certificates a")));
    let reason = said["reason"].as_str().unwrap();
    assert!(
        reason.contains("a.key") && reason.contains("key-mismatch") && reason.contains("fix:"),
        "{reason}"
    );
    assert_eq!(metric(&flux, FAILED), Some(1.0));
    assert_eq!(metric(&flux, "fluxheim_file_reloads_refused_total{role=\"certificate\""), Some(1.0));
    assert_eq!(shown(flux.https(), &clients).unwrap(), pairs[0].der);
    // It is looked at every second, and nothing new is to be said of it.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(flux.said().matches(ALARM).count(), 1);
    // A key that others can read is as bad as none.
    pairs[1].put(&tls);
    set_mode(&tls.join("a.key"), 0o644);
    until_shown_or_told(&flux, &clients, &pairs[1]);
    set_mode(&tls.join("a.key"), 0o600);
    pairs[2].put(&tls);
    until_shown(&flux, &clients, &pairs[2], "mended");
    flux.wait_for("can be used again");
    assert_eq!(metric(&flux, FAILED), Some(0.0));
    assert!(metric(&flux, loaded).unwrap() > first);
    crowd.judge();
}

/// The mode may be seen before or after the pair was taken.
fn until_shown_or_told(flux: &Running, clients: &Arc<ClientConfig>, pair: &Pair) {
    let told = || flux.said().contains("mode-too-open");
    wait(|| (told() || shown(flux.https(), clients).unwrap() == pair.der).then_some(())).unwrap();
}

#[test]
fn takes_no_certificate_that_clients_refuse_in_place_of_one_that_they_take() {
    let (good, dir) = (pairs(1), folder());
    let old = dated(dir.path(), -7200, -3600);
    let flux = site("", &good[0]);
    let tls = flux.dir.path().join("tls");
    old.put(&tls);
    let said = flux.wait_for(ALARM);
    assert!(said["reason"].as_str().unwrap().contains("expired on"), "{said}");
    let clients = client(&good);
    assert_eq!(shown(flux.https(), &clients).unwrap(), good[0].der);
    assert_eq!(metric(&flux, FAILED), Some(1.0));
}

#[test]
fn tells_of_a_folder_that_is_out_of_reach_since_it_is_another_one() {
    let (pairs, elsewhere) = (pairs(2), folder());
    let tls = elsewhere.path().join("tls");
    fs::create_dir(&tls).unwrap();
    pairs[0].put(&tls);
    let [cert, key] = ["a.pem", "a.key"].map(|name| tls.join(name).to_str().unwrap().to_owned());
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &config("", &cert, &key));
    let flux = flux.file("site/small", b"small").start();
    fs::rename(&tls, elsewhere.path().join("old")).unwrap();
    fs::create_dir(&tls).unwrap();
    pairs[1].put(&tls);
    let said = flux.wait_for(ALARM);
    let reason = said["reason"].as_str().unwrap();
    assert!(reason.contains(tls.to_str().unwrap()) && reason.contains("Landlock"), "{reason}");
    let clients = client(&pairs);
    assert_eq!(shown(flux.https(), &clients).unwrap(), pairs[0].der);
    // The folder that it was is what it may read.
    fs::rename(&tls, elsewhere.path().join("new")).unwrap();
    fs::rename(elsewhere.path().join("old"), &tls).unwrap();
    pairs[1].put(&tls);
    until_shown(&flux, &clients, &pairs[1], "in the folder of the start");
}

#[test]
fn takes_a_certificate_once_its_time_has_come() {
    let (good, dir) = (pairs(1), folder());
    let flux = site("[tls]\nwatch_poll = \"1s\"", &good[0]);
    let early = dated(dir.path(), 10, 3600);
    early.put(&flux.dir.path().join("tls"));
    let known = [good.into_iter().next().unwrap(), early];
    let clients = client(&known);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert_eq!(shown(flux.https(), &clients).unwrap(), known[0].der);
    }
    until_shown(&flux, &clients, &known[1], "when its time has come");
}

#[test]
fn tells_of_an_end_that_comes_near_and_serves_on_beyond_it() {
    let dir = folder();
    let short = dated(dir.path(), -100, 8);
    let flux = site("", &short);
    let soon = flux.wait_for_start_of("certificate expires");
    assert_eq!((soon["certificate"].as_str(), soon["source"].as_str()), (Some("a"), Some("file")));
    let expired = flux.wait_for_start_of("certificate has expired");
    assert_eq!(expired["level"], "ERROR");
    let of = |name: &str| {
        metric(&flux, &format!("fluxheim_certificate_{name}_seconds{{certificate=\"a\",source=\"file\""))
            .unwrap()
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(of("not_after") < now && (of("not_after") - of("not_before") - 108.0).abs() < 3.0);
    let seen = run(
        "openssl",
        "openssl",
        &["s_client", "-connect", &flux.https().to_string(), "-servername", "a.test"],
    );
    assert!(String::from_utf8_lossy(&seen.stdout).contains("subject=CN = a.test"));
    // What takes its place is one that holds.
    let next = pairs(1);
    next[0].put(&flux.dir.path().join("tls"));
    until_shown_beyond(&flux, &next[0]);
}

/// Clients that trust the new one alone fail until it is there.
fn until_shown_beyond(flux: &Running, pair: &Pair) {
    let clients = client(std::slice::from_ref(pair));
    wait(|| (shown(flux.https(), &clients) == Ok(pair.der.clone())).then_some(())).expect("never replaced");
}
