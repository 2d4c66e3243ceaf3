//! A server of Debian's `redis-server`, over TLS, with a user who may do what is needed and no more.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxheim::acme::store::{Change, Expect, Key, Name, Redis, Store, StoreError};

use crate::server::{Server, Setup};
use crate::suite::{self, Place, TTL, awaited, run, taken};

impl Place for Server {
    fn replica(&self) -> Arc<dyn Store> {
        Arc::new(self.open(&self.setup()))
    }
}

#[test]
fn a_server_does_what_a_place_must() {
    suite::all(&Server::start());
}

#[test]
fn a_server_behaves_as_the_model() {
    suite::behaves_as_the_model(&Server::start(), 40);
}

#[test]
fn nothing_leaves_the_process_unsealed() {
    let server = Server::start();
    run(async {
        let store = server.replica();
        let secret = b"-----BEGIN PRIVATE KEY-----";
        for key in [Key::account("ca"), Key::certificate("a.example"), Key::challenge("token")] {
            store.put(&key, secret, Expect::Absent, None).await.unwrap();
        }
        assert!(
            server.kept().windows(9).any(|window| window == b"a.example"),
            "this looks at the wrong file"
        );
        assert!(!server.kept().windows(11).any(|window| window == b"PRIVATE KEY"));
        let shown = format!("{store:?}");
        assert!(!shown.contains(Setup::PASSWORD) && shown.contains("127.0.0.1"), "{shown}");
    });
}

#[test]
fn every_key_of_the_rotation_opens_and_others_do_not() {
    let server = Server::start();
    let (first, second, third) =
        (server.seal_key("first"), server.seal_key("second"), server.seal_key("third"));
    let open = |keys: &[&std::path::PathBuf]| {
        let seal_keys = keys.iter().map(|key| (*key).clone()).collect();
        server.open(&Setup { seal_keys, ..server.setup() })
    };
    run(async {
        let key = Key::certificate("a.example");
        open(&[&first]).put(&key, b"KEY", Expect::Absent, None).await.unwrap();
        let rotated = open(&[&second, &first]);
        assert_eq!(rotated.get(&key).await.unwrap().unwrap().value.as_bytes(), b"KEY");
        // Reading it has sealed it anew.
        let entry = open(&[&second]).get(&key).await.unwrap().unwrap();
        assert_eq!(entry.value.as_bytes(), b"KEY");
        // Replicas that disagree do so once, and not for ever.
        let (one, two) = (open(&[&second, &first]), open(&[&first, &second]));
        let version = two.get(&key).await.unwrap().unwrap().version;
        assert!(version > entry.version);
        let version = one.get(&key).await.unwrap().unwrap().version;
        for store in [&one, &two, &one, &two] {
            assert_eq!(store.get(&key).await.unwrap().unwrap().version, version);
        }
        for keys in [&[&first][..], &[&third]] {
            let refused = open(keys).get(&key).await.unwrap_err();
            assert!(
                matches!(&refused, StoreError::Forged { why, .. } if why.contains("seal key files")),
                "{refused}"
            );
            assert!(!refused.may_heal());
        }
    });
}

#[test]
fn what_was_changed_exchanged_or_put_back_is_refused() {
    let server = Server::start();
    run(async {
        let (store, key) = (server.replica(), Key::certificate("a.example"));
        let forged = async |with: &str| match store.get(&key).await {
            Err(StoreError::Forged { why, .. }) => assert!(why.contains(with), "{why}"),
            other => panic!("{other:?}"),
        };
        store.put(&Key::certificate("b.example"), b"other", Expect::Absent, None).await.unwrap();
        store.put(&key, b"old", Expect::Absent, None).await.unwrap();
        let (a, b, backup) = ("fluxheim:certificates/a.example", "fluxheim:certificates/b.example", "backup");
        server.cli(&["COPY", a, backup]);
        store.put(&key, b"new", Expect::Anything, None).await.unwrap();
        server.cli(&["COPY", a, "newest"]);
        // An old value with its own version and seal.
        server.cli(&["COPY", backup, a, "REPLACE"]);
        forged("older value was put back").await;
        // Another name's.
        server.cli(&["COPY", b, a, "REPLACE"]);
        forged("seal is broken").await;
        // Its parts.
        server.cli(&["COPY", "newest", a, "REPLACE"]);
        assert_eq!(store.get(&key).await.unwrap().unwrap().value.as_bytes(), b"new");
        server.cli(&["APPEND", a, "x"]);
        forged("seal is broken").await;
        server.cli(&["COPY", "newest", a, "REPLACE"]);
        server.cli(&["SETRANGE", a, "4", "0"]);
        forged("seal is broken").await;
        server.cli(&["SETRANGE", a, "0", "99"]);
        forged("version").await;
        server.cli(&["SET", a, "99-0000000000000000 junk"]);
        forged("not a sealed value").await;
        server.cli(&["SET", a, "junk"]);
        forged("version").await;
        // Not even a string: of that one key alone it is told.
        server.cli(&["DEL", a]);
        server.cli(&["LPUSH", a, "junk"]);
        let odd = store.get(&key).await.unwrap_err();
        assert!(odd.to_string().contains("WRONGTYPE") && store.is_up(), "{odd}");
        assert!(store.get(&Key::certificate("b.example")).await.unwrap().is_some());
        server.cli(&["COPY", b, a, "REPLACE"]);
        // What is refused can be replaced, and not by accident.
        let conflict = store.put(&key, b"mended", Expect::Absent, None).await;
        assert!(matches!(conflict, Err(StoreError::Conflict(_))), "{conflict:?}");
        store.put(&key, b"mended", Expect::Anything, None).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().unwrap().value.as_bytes(), b"mended");
    });
}

#[test]
fn who_may_not_is_told_so_and_nothing_secret_is_said() {
    let server = Server::start();
    let other = crate::server::certificate_of(server.path(), "other");
    let plain = server.setup();
    let (plain, cases) = (
        Setup { tls: false, ..plain },
        [
            (Setup { password: "wrong", ..server.setup() }, "WRONGPASS"),
            (Setup { user: "nobody", ..server.setup() }, "WRONGPASS"),
            (Setup { user: "reader", ..server.setup() }, "NOPERM"),
            (Setup { prefix: "other:", ..server.setup() }, "NOPERM"),
            (Setup { ca: other, ..server.setup() }, "invalid peer certificate"),
            (Setup { host: "localhost", ..server.setup() }, "not valid for name"),
            (Setup { host: "no-such-host.invalid", ..server.setup() }, "cannot resolve"),
        ],
    );
    run(async {
        for (setup, said) in cases {
            let store = server.open(&setup);
            let error = store.put(&Key::account("ca"), b"KEY", Expect::Anything, None).await.unwrap_err();
            let StoreError::Unavailable(why) = &error else { panic!("{error:?}") };
            assert!(why.contains(said), "{why}");
            assert!(!why.contains("wrong-") && !why.contains(Setup::PASSWORD), "{why}");
            assert!(!store.is_up());
        }
        let error = server.open(&plain).get(&Key::account("ca")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    });
}

#[test]
fn a_server_that_was_killed_is_found_again_with_all_it_had() {
    let mut server = Server::start();
    run(async {
        let (store, key) = (server.replica(), Key::certificate("a.example"));
        let version = store.put(&key, b"KEY", Expect::Absent, None).await.unwrap();
        let lease = store.try_lock(&Name::of("orders"), Duration::from_millis(900)).await.unwrap().unwrap();
        let mut news = store.changes();
        awaited(&mut news, &Change::Anything).await;
        server.kill();
        let error = store.get(&key).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(_)) && error.may_heal(), "{error}");
        assert!(!store.is_up());
        // Each call ends, soon, whatever is going on.
        let begun = Instant::now();
        for _ in 0..20 {
            assert!(store.get(&key).await.is_err());
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        tokio::time::timeout(Duration::from_secs(5), lease.lost())
            .await
            .expect("the lease outlived its time");
        let lost = store.put(&key, b"late", Expect::Anything, Some(&lease)).await;
        assert!(matches!(lost, Err(StoreError::LeaseLost(_))), "{lost:?}");
        server.again();
        let end = Instant::now() + Duration::from_secs(20);
        let entry = loop {
            match store.get(&key).await {
                Ok(entry) => break entry.unwrap(),
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!((entry.value.as_bytes(), entry.version), (&b"KEY"[..], version));
        assert!(store.is_up());
        // News come again as well, those that were missed too.
        store.put(&key, b"NEW", Expect::Anything, None).await.unwrap();
        awaited(&mut news, &Change::Key(key)).await;
        taken(&*store, &Name::of("orders")).await;
    });
}

#[test]
fn a_lock_that_the_server_gave_to_another_writes_nothing_more() {
    let server = Server::start();
    run(async {
        let (one, two, name) = (server.replica(), server.replica(), Name::of("orders"));
        let lease = one.try_lock(&name, TTL).await.unwrap().unwrap();
        // What a pause that is longer than its time comes to.
        server.cli(&["DEL", "fluxheim:lock:orders"]);
        let theirs = two.try_lock(&name, TTL).await.unwrap().unwrap();
        assert!(lease.is_held(), "it can't know yet");
        let late = one.put(&Key::order("a"), b"late", Expect::Anything, Some(&lease)).await;
        assert!(matches!(late, Err(StoreError::LeaseLost(_))), "{late:?}");
        two.put(&Key::order("a"), b"theirs", Expect::Absent, Some(&theirs)).await.unwrap();
        tokio::time::timeout(TTL, lease.lost()).await.expect("the loss is not noticed");
        // Given back, it takes nothing from the other.
        drop(lease);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(one.try_lock(&name, TTL).await.unwrap().is_none());
    });
}

#[test]
fn a_lease_renews_itself() {
    let server = Server::start();
    run(async {
        let (one, two, name) = (server.replica(), server.replica(), Name::of("orders"));
        let ttl = Duration::from_millis(600);
        let lease = one.try_lock(&name, ttl).await.unwrap().unwrap();
        tokio::time::sleep(ttl * 3).await;
        assert!(lease.is_held());
        assert!(two.try_lock(&name, ttl).await.unwrap().is_none());
        one.put(&Key::order("a"), b"x", Expect::Absent, Some(&lease)).await.unwrap();
    });
}

#[test]
fn a_server_that_hangs_holds_nobody_for_long() {
    let server = Server::start();
    run(async {
        let (store, key) = (
            server.open(&Setup { timeout: Duration::from_millis(300), ..server.setup() }),
            Key::account("ca"),
        );
        store.put(&key, b"KEY", Expect::Absent, None).await.unwrap();
        server.stop();
        let begun = Instant::now();
        let error = store.get(&key).await.unwrap_err();
        assert!(error.to_string().contains("no answer within 300ms"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(3));
        server.go_on();
        let end = Instant::now() + Duration::from_secs(20);
        while store.get(&key).await.is_err() {
            assert!(Instant::now() < end);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Whatever listens there, and whatever it says.
#[test]
fn what_is_no_server_is_told_apart() {
    use std::io::{Read, Write};
    let server = Server::start();
    for (said, told) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak the Redis protocol"),
        ("$2000000000\r\n", "larger than any"),
        ("*3\r\n", "closed it"),
        ("", "closed it"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            assert!(stream.read(&mut asked).unwrap() > 0);
            let _ = stream.write_all(said.as_bytes());
        });
        let store: Redis = server.open(&Setup { port, tls: false, ..server.setup() });
        let error = run(store.get(&Key::account("ca"))).unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains(told)), "{said:?}: {error}");
        answering.join().unwrap();
    }
}

/// A server without the command repeats what it was sent (as Redis does with `rename-command AUTH`).
#[test]
fn a_server_that_repeats_the_password_gets_it_into_no_message_and_is_left_alone_for_a_while() {
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};
    let server = Server::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let greeted = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&greeted);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut asked) = (stream.unwrap(), [0; 1024]);
            let read = stream.read(&mut asked).unwrap_or(0);
            assert!(String::from_utf8_lossy(&asked[..read]).contains(Setup::PASSWORD));
            count.fetch_add(1, Ordering::Relaxed);
            let words =
                format!("-ERR unknown command 'AUTH', with args beginning with: '{}'\r\n", Setup::PASSWORD);
            let _ = stream.write_all(words.as_bytes());
        }
    });
    let store: Redis = server.open(&Setup { port, tls: false, ..server.setup() });
    run(async {
        for _ in 0..20 {
            let error = store.get(&Key::account("ca")).await.unwrap_err().to_string();
            assert!(!error.contains(Setup::PASSWORD) && error.contains("refuses the user"), "{error}");
        }
        assert!(!store.is_up());
    });
    // Its watcher has tried besides.
    let greeted = greeted.load(Ordering::Relaxed);
    assert!(greeted < 10, "{greeted} connections for 20 requests");
}
