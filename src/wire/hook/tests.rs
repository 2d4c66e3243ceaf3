//! Requests and answers, good and bad.

use proptest::prelude::*;

use super::*;

#[path = "../../../tests/fuzz/properties/hook.rs"]
mod properties;

const VALUE: &str = "MsijOYZxqyjGnFGwhjrhfg-Xgbl5r68WPda0J9EgqqI";

#[test]
fn asks_in_one_form_only() {
    let request = Request::new(Verb::Present, "_acme-challenge.A.test", VALUE).unwrap();
    assert_eq!(request.line(), format!("present _acme-challenge.a.test. {VALUE}\n"));
    assert_eq!(Request::read(request.line().as_bytes()), Ok(request));
    let line = |line: &str| Request::read(line.replace('V', VALUE).as_bytes());
    assert!(line("cleanup a.test. V\n").is_ok());
    for (wrong, why) in [
        ("present a.test. V", Malformed::Line),
        ("present a.test. V\r\n", Malformed::Value),
        ("present a.test. V \n", Malformed::Line),
        ("present  a.test. V\n", Malformed::Line),
        ("present a.test. V x\n", Malformed::Line),
        ("remove a.test. V\n", Malformed::Verb),
        ("present a.test V\n", Malformed::Name),
        ("present A.test. V\n", Malformed::Name),
        ("present -a.test. V\n", Malformed::Name),
        ("present test. V\n", Malformed::Name),
        ("present a..test. V\n", Malformed::Name),
        ("present a;b.test. V\n", Malformed::Name),
        ("present *.a.test. V\n", Malformed::Name),
        ("present a.test. $V\n", Malformed::Value),
        ("present a.test. value\n", Malformed::Value),
    ] {
        assert_eq!(line(wrong), Err(why), "{wrong:?}");
    }
    assert_eq!(Request::read(&vec![b'a'; 1 << 20]), Err(Malformed::Line));
}

#[test]
fn bounds_names_as_dns_does() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}.", "a".repeat(61));
    assert!(Request::new(Verb::Present, &longest, VALUE).is_ok());
    assert!(Request::new(Verb::Present, &format!("a{longest}"), VALUE).is_err());
    assert!(Request::new(Verb::Present, &format!("a{label}.test"), VALUE).is_err());
}

#[test]
fn knows_what_is_within_a_zone() {
    let request = Request::new(Verb::Present, "x.a.test", VALUE).unwrap();
    assert!(request.is_within("a.test") && request.is_within("x.a.test") && request.is_within("test"));
    assert!(!request.is_within("b.a.test") && !request.is_within(".a.test") && !request.is_within("st"));
}

#[test]
fn answers_on_one_bounded_line() {
    for said in [String::new(), "a\nb\u{1b}[31m\0".to_owned(), "€😀".repeat(5000)] {
        let line = Answer::Failed(said).line();
        assert!(line.len() <= MOST_ANSWERED, "{}", line.len());
        assert!(matches!(Answer::read(line.as_bytes()), Ok(Answer::Failed(_))), "{line:?}");
    }
    assert_eq!(Answer::read(b"done\n"), Ok(Answer::Done));
    for wrong in ["done", "done \n", "failed\n", "failed \n", "failed a\nb\n", "ok\n", "done\r\n"] {
        assert_eq!(Answer::read(wrong.as_bytes()), Err(Malformed::Line), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn holds_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        properties::holds(&bytes);
    }

    #[test]
    fn holds_of_what_is_nearly_a_line(
        line in "(present|cleanup|done|failed|refused)( [a-z._-]{0,9}){0,3} ?[A-Za-z0-9_-]{40,45}\n?"
    ) {
        properties::holds(line.as_bytes());
    }
}
