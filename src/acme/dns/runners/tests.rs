//! Those who come to the socket and are not what they should be. Who is, is seen from outside (tests/e2e).

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::wire::hook::Verb;

const PATIENCE: Duration = Duration::from_secs(20);

fn request() -> Request {
    Request::new(Verb::Present, "_acme-challenge.a.test", &"v".repeat(43)).unwrap()
}

/// A socket, and somebody to ask who has come there.
fn runners(folder: &TempDir) -> Runners {
    let path = folder.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    Runners::at(&path, listener).unwrap()
}

async fn come(folder: &TempDir) -> UnixStream {
    let mut stream = UnixStream::connect(folder.path().join("s")).await.unwrap();
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, GREETING.as_bytes());
    stream
}

/// What is told of somebody who answers so.
async fn told(answer: &[u8]) -> Result<(), HookError> {
    let folder = TempDir::new().unwrap();
    let runners = runners(&folder);
    let mut stream = come(&folder).await;
    let answers = async {
        let mut asked = vec![0; request().line().len()];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, request().line().as_bytes());
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let request = request();
    tokio::join!(runners.ask(&request, PATIENCE), answers).0
}

#[tokio::test]
async fn an_answer_is_one_line_and_nothing_else() {
    assert!(told(b"done\n").await.is_ok());
    let failed = told(b"failed exited with 1: no\n").await.unwrap_err();
    assert_eq!(failed.to_string(), "the program of fluxheim dns-hook exited with 1: no");
    assert!(matches!(told(b"refused no\n").await, Err(HookError::Refused(_))));
    assert!(matches!(told(b"").await, Err(HookError::HungUp(_))));
    assert!(matches!(told(b"done").await, Err(HookError::Nonsense(_))));
    assert!(matches!(told(b"done\ndone\n").await, Err(HookError::HungUp(_))));
    assert!(matches!(told(b"HTTP/1.1 200 OK\r\n").await, Err(HookError::Nonsense(_))));
    let endless = [b"failed ".as_slice(), &[b'x'; 9000]].concat();
    assert!(matches!(told(&endless).await, Err(HookError::Nonsense(_))));
}

#[tokio::test(start_paused = true)]
async fn says_whether_nobody_has_come_or_all_are_at_work() {
    let folder = TempDir::new().unwrap();
    let runners = runners(&folder);
    let nobody = runners.ask(&request(), PATIENCE).await.unwrap_err();
    assert!(matches!(nobody, HookError::Nobody { waited, .. } if waited >= COMING), "{nobody}");
    let _silent = come(&folder).await;
    let patient = PATIENCE * 3;
    let (one, other) = (request(), request());
    let (silent, busy) = tokio::join!(runners.ask(&one, patient), runners.ask(&other, PATIENCE));
    assert!(matches!(silent, Err(HookError::Silent(_))), "{silent:?}");
    assert!(matches!(busy, Err(HookError::Busy(_))), "{busy:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_may_be_starting_is_waited_for_from_when_nobody_is_at_work() {
    let folder = TempDir::new().unwrap();
    let runners = runners(&folder);
    let _silent = come(&folder).await;
    let (begun, one, other) = (Instant::now(), request(), request());
    let (silent, nobody) = tokio::join!(runners.ask(&one, PATIENCE), runners.ask(&other, PATIENCE * 3));
    assert!(matches!(silent, Err(HookError::Silent(_))), "{silent:?}");
    assert!(matches!(nobody, Err(HookError::Nobody { waited, .. }) if waited >= COMING), "{nobody:?}");
    assert!(begun.elapsed() >= PATIENCE + COMING, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn another_one_is_asked_where_one_goes_without_a_word() {
    let folder = TempDir::new().unwrap();
    let runners = runners(&folder);
    let (mut second, mut first) = (come(&folder).await, come(&folder).await);
    let answers = async {
        let mut asked = vec![0; request().line().len()];
        first.read_exact(&mut asked).await.unwrap();
        drop(first);
        second.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, request().line().as_bytes());
        second.write_all(b"refused no\n").await.unwrap();
        second.read_exact(&mut asked).await.unwrap();
        second.write_all(b"done\n").await.unwrap();
    };
    let request = request();
    let asks = async {
        let told = runners.ask(&request, PATIENCE).await.unwrap_err();
        // The first may have done it, whatever the second says.
        assert!(matches!(&told, HookError::HungUp(why) if why.contains("refuses: no")), "{told}");
        runners.ask(&request, PATIENCE).await.unwrap();
    };
    tokio::join!(asks, answers);
}

#[tokio::test]
async fn one_too_many_is_told_so() {
    let folder = TempDir::new().unwrap();
    let _runners = runners(&folder);
    let mut all = Vec::new();
    for _ in 0..MOST {
        all.push(come(&folder).await);
    }
    let told = async || {
        let mut stream = UnixStream::connect(folder.path().join("s")).await.unwrap();
        let mut said = vec![0; GREETING.len()];
        stream.read_exact(&mut said).await.unwrap();
        String::from_utf8(said).unwrap()
    };
    assert_eq!(told().await, FULL);
    drop(all.pop());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(told().await, GREETING);
}

#[tokio::test]
async fn takes_no_account_of_who_has_hung_up_or_speaks_unasked() {
    let folder = TempDir::new().unwrap();
    let runners = runners(&folder);
    drop(come(&folder).await);
    let mut talks = come(&folder).await;
    talks.write_all(b"GET /v1/status HTTP/1.1\r\n").await.unwrap();
    // Until the runtime has heard of both.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = tokio::spawn(async move { runners.ask(&request(), PATIENCE).await });
    let mut stream = come(&folder).await;
    let mut line = vec![0; request().line().len()];
    timeout(PATIENCE, stream.read_exact(&mut line)).await.unwrap().unwrap();
    stream.write_all(b"done\n").await.unwrap();
    asked.await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_answers_is_asked_again_and_whoever_is_given_up_is_not() {
    let folder = TempDir::new().unwrap();
    let runners = runners(&folder);
    let mut stream = come(&folder).await;
    for _ in 0..3 {
        let answers = async {
            let mut asked = vec![0; request().line().len()];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(b"done\n").await.unwrap();
        };
        let request = request();
        let (done, ()) = tokio::join!(runners.ask(&request, PATIENCE), answers);
        done.unwrap();
    }
    // An order that is cancelled: the runner hears of it, and is not asked anything else on top.
    assert!(timeout(Duration::from_millis(50), runners.ask(&request(), PATIENCE)).await.is_err());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, request().line().as_bytes());
}
