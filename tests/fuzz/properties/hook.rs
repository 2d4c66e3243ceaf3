//! Bytes as one line between the proxy and `fluxheim dns-hook`: what is read is written again as it was, and has
//! nothing in it that a program could stumble over.

use super::{Answer, MOST_ANSWERED, MOST_ASKED, Request};

/// Fails where one of these does not hold; whether it is a request or an answer.
pub(crate) fn holds(bytes: &[u8]) -> bool {
    let request = Request::read(bytes);
    if let Ok(request) = &request {
        assert_eq!(request.line().as_bytes(), bytes, "there is another way to ask it");
        assert!(bytes.len() <= MOST_ASKED);
        assert_eq!(request.value().len(), 43);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        assert!(request.name().bytes().chain(request.value().bytes()).all(plain));
        assert!(request.name().ends_with('.') && !request.name().starts_with(['-', '.']));
        assert!(request.is_within(request.name().trim_end_matches('.')));
        assert_eq!(Request::new(request.verb(), request.name(), request.value()).as_ref(), Ok(request));
    }
    let answer = Answer::read(bytes);
    if let Ok(answer) = &answer {
        assert!(bytes.len() <= MOST_ANSWERED);
        let line = answer.line();
        assert!(line.len() <= MOST_ANSWERED && line.matches(char::is_control).eq(["\n"]), "{line:?}");
        assert!(Answer::read(line.as_bytes()).is_ok());
        assert!(request.is_err(), "it asks and answers");
    }
    request.is_ok() || answer.is_ok()
}
