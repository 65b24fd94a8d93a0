use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;

/// Answers every connection with these bytes; with none it says nothing and keeps it open.
fn daemon(dir: &Path, says: Option<String>) -> PathBuf {
    let path = dir.join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    drop(tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _n = stream.read(&mut head).await.unwrap();
            match &says {
                Some(says) => stream.write_all(says.as_bytes()).await.unwrap(),
                None => silent.push(stream),
            }
        }
    }));
    path
}

fn http(server: &str, status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nserver: {server}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

async fn asked(says: Option<String>) -> Result<serde_json::Value, Trouble> {
    let dir = tempfile::tempdir().unwrap();
    let path = daemon(dir.path(), says);
    let client = Client { socket: path, deadline: Duration::from_millis(300) };
    client.read("/v1/snapshot").await
}

#[tokio::test]
async fn an_answer_is_read() {
    assert_eq!(asked(Some(http(SERVER, "200 OK", "{\"a\":1}"))).await.unwrap()["a"], 1);
    let other = asked(Some(http("tsd-import/9.9.9", "200 OK", "{\"a\":2}"))).await.unwrap();
    assert_eq!(other["a"], 2, "another version whose answer is understood is no trouble");
}

#[tokio::test]
async fn each_trouble_says_what_to_do() {
    let said = async |says: Option<String>| asked(says).await.unwrap_err().to_string();
    let hangs = said(None).await;
    assert!(hangs.contains("does not answer") && hangs.contains("within 300ms"), "{hangs}");
    let version = said(Some(http("tsd-import/9.9.9", "200 OK", "<html>"))).await;
    assert!(version.contains("the daemon is tsd-import/9.9.9 and this is tsd-import/0"), "{version}");
    let version = said(Some(http("tsd-import/9.9.9", "404 Not Found", "{}"))).await;
    assert!(version.contains("restart the daemon"), "{version}");
    let odd = said(Some(http(SERVER, "200 OK", "<html>"))).await;
    assert!(odd.contains("brought what nobody understands"), "{odd}");
    let refused = said(Some(http(SERVER, "503 Service Unavailable", "{\"detail\":\"starting\"}"))).await;
    assert!(refused.contains("starting (503)"), "{refused}");
    let cut = said(Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".into())).await;
    assert!(cut.contains("went away in the middle"), "{cut}");
    let none = Client::new(Path::new("/nowhere/control.sock")).get("/").await.unwrap_err();
    assert!(none.to_string().contains("no daemon answers at /nowhere/control.sock"), "{none}");
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_no_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert_eq!(Client::new(&path).get("/").await.unwrap_err(), Trouble::NoDaemon { socket: path });
}

#[test]
fn a_question_that_hangs_does_not_take_the_command_with_it() {
    let begun = Instant::now();
    // As on a mount that hangs: the thread itself is stuck, no timer of its own can help.
    let stuck: Result<(), Trouble> = ask(Path::new("/s"), async |_| {
        std::thread::sleep(Duration::from_secs(20));
        Ok(())
    });
    assert!(matches!(stuck, Err(Trouble::Hangs { .. })), "{stuck:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));
    let fell: Result<(), Trouble> = ask(Path::new("/s"), async |_| panic!("a fault"));
    assert!(matches!(fell, Err(Trouble::CutOff { .. })), "{fell:?}");
    assert_eq!(ask(Path::new("/s"), async |_| Ok(7)), Ok(7));
}
