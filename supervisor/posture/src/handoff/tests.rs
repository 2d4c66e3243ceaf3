use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, send};

use fluxheim_config::{Control, Level};

use super::*;
use crate::Outcome;

fn pair() -> (InitEnd, ProxyEnd) {
    let (init, socket) = InitEnd::pair().unwrap();
    (init, ProxyEnd { socket })
}

fn report() -> ProxyReport {
    crate::judge::samples::proxy_report()
}

/// The longest there can be: every control, the longest words.
fn go() -> Verdict {
    let (level, result) = (Level::BestEffort, Outcome::NotApplicable);
    let controls = Control::ALL.map(|control| ControlOutcome { control, level, result });
    Verdict::Go(Posture { controls: controls.to_vec(), secrets_off_swap: result })
}

const STATE: ProxyState = ProxyState { ready: true, draining: false, connections: 3, in_flight: 1 };

#[test]
fn a_report_gets_its_verdict() {
    for verdict in [go(), Verdict::Refused] {
        let (init, proxy) = pair();
        init.answer(verdict.clone()).unwrap();
        assert_eq!(proxy.submit(&report()).unwrap(), verdict);
        let Some(FromProxy::Report(seen)) = init.receive().unwrap() else { panic!("no report") };
        assert_eq!(*seen, report());
    }
}

#[test]
fn ready_and_state_arrive_in_order_and_then_nothing() {
    let (init, proxy) = pair();
    proxy.ready().unwrap();
    assert!(matches!(init.receive().unwrap(), Some(FromProxy::Ready)));
    assert!(init.receive().unwrap().is_none());
    init.ask(41).unwrap();
    let answering = std::thread::spawn(move || proxy.serve(|| STATE));
    let answer = loop {
        if let Some(message) = init.receive().unwrap() {
            break message;
        }
        std::thread::yield_now();
    };
    assert!(matches!(answer, FromProxy::State { id: 41, state } if state == STATE));
    drop(init);
    answering.join().unwrap().unwrap();
}

#[test]
fn a_missing_init_is_no_verdict() {
    let (init, proxy) = pair();
    drop(init);
    assert!(matches!(proxy.submit(&report()), Err(HandoffError::Closed)));
    assert!(proxy.ready().is_err());
}

#[test]
fn a_missing_proxy_is_seen_as_gone() {
    let (init, proxy) = pair();
    drop(proxy);
    assert!(matches!(init.receive().unwrap(), Some(FromProxy::Gone)));
    assert!(init.ask(1).is_err());
}

#[test]
fn refuses_what_it_does_not_know() {
    for bytes in [&b"{"[..], b"null", b"{\"fly\":1}", b"{\"state\":{\"id\":1}}", b"\xff\xfe", b"[]"] {
        let (init, proxy) = pair();
        send(proxy.socket.as_raw_fd(), bytes, MsgFlags::empty()).unwrap();
        assert!(matches!(init.receive(), Err(HandoffError::Malformed(_))), "{bytes:?}");
    }
}

#[test]
fn the_proxy_takes_no_verdict_it_does_not_know() {
    let go = |control: &str, result: &str, more: &str| {
        format!(
            r#"{{"verdict":{{"go":{{"controls":[{{"control":"{control}","level":"required","result":"{result}"{more}}}],"secrets_off_swap":"inherited"}}}}}}"#
        )
    };
    let heard = |text: &str| {
        let (init, proxy) = pair();
        send(init.socket.as_raw_fd(), text.as_bytes(), MsgFlags::empty()).unwrap();
        proxy.submit(&report())
    };
    assert!(matches!(heard(&go("umask", "enforced", "")), Ok(Verdict::Go(_))));
    for text in [
        go("levitation", "enforced", ""),
        go("umask", "splendid", ""),
        go("umask", "enforced", r#","evidence":"x""#),
        r#"{"verdict":"go"}"#.to_owned(),
        r#"{"verdict":{"go":{"controls":[]}}}"#.to_owned(),
    ] {
        assert!(matches!(heard(&text), Err(HandoffError::Malformed(_))), "{text}");
    }
}

#[test]
fn refuses_a_report_of_another_version() {
    let (init, proxy) = pair();
    init.answer(go()).unwrap();
    proxy.submit(&ProxyReport { schema: SCHEMA + 1, ..report() }).unwrap();
    assert!(matches!(init.receive(), Err(HandoffError::Version(_))));
}

#[test]
fn refuses_a_packet_that_is_too_long() {
    let (init, proxy) = pair();
    send(proxy.socket.as_raw_fd(), &vec![b' '; MAX_MESSAGE + 1], MsgFlags::empty()).unwrap();
    assert!(matches!(init.receive(), Err(HandoffError::TooLong { bytes }) if bytes == MAX_MESSAGE + 1));
}

#[test]
fn a_question_before_the_verdict_is_no_verdict() {
    let (init, proxy) = pair();
    init.ask(1).unwrap();
    assert!(matches!(proxy.submit(&report()), Err(HandoffError::OutOfTurn(_))));
}

#[test]
fn a_verdict_while_serving_is_an_error() {
    let (init, proxy) = pair();
    init.answer(go()).unwrap();
    assert!(matches!(proxy.serve(|| STATE), Err(HandoffError::OutOfTurn(_))));
}

#[test]
fn only_a_seqpacket_unix_socket_is_taken_over() {
    #[expect(clippy::disallowed_methods, reason = "a device of the kernel's")]
    let null = OwnedFd::from(std::fs::OpenOptions::new().read(true).open("/dev/null").unwrap());
    assert!(check_kind(&null).is_err());
    let tcp = OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    assert!(check_kind(&tcp).is_err());
    assert!(check_kind(&pair().1.socket).is_ok());
}

#[test]
fn only_numbers_above_stdio_are_taken() {
    assert_eq!(parse_number("3"), Some(3));
    for text in ["0", "2", "-1", "", "x", "99999999999"] {
        assert_eq!(parse_number(text), None, "{text:?}");
    }
}

#[test]
fn what_init_leaves_is_read_after_it_is_gone() {
    let (init, proxy) = pair();
    assert_eq!(proxy.legacy().unwrap(), None);
    let evidence = crate::judge::samples::evidence();
    let legacy = Legacy {
        schema: SCHEMA,
        baseline: evidence.baseline,
        failures: vec![Failure { control: Control::Mdwe, errno: Os::EINVAL.into() }],
        storage: StorageSeen::Findings("1 finding".into()),
    };
    init.leave(legacy.clone()).unwrap();
    drop(init);
    assert_eq!(proxy.legacy().unwrap().as_deref(), Some(&legacy));
    assert!(matches!(proxy.legacy(), Err(HandoffError::Closed)));
}

#[test]
fn a_legacy_of_another_version_is_refused() {
    let (init, proxy) = pair();
    let baseline = Baseline::default();
    let (failures, storage) = (vec![], StorageSeen::NotChecked);
    init.leave(Legacy { schema: SCHEMA + 1, baseline, failures, storage }).unwrap();
    assert!(matches!(proxy.legacy(), Err(HandoffError::Version(_))));
}
