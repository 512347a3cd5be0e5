use super::*;
use std::net::{TcpListener, TcpStream};

/// A server that answers every request with these bytes.
fn serve(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/image", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        }
    });
    url
}

fn digest_of(content: &str) -> Sha256 {
    hex::encode(sha2::Sha256::digest(content)).try_into().unwrap()
}

fn fetch(url: &str, expected: &Sha256) -> (Result<(), DownloadError>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(expected.as_str());
    (download(url, expected, &path, &CancellationToken::new()), dir)
}

#[test]
fn a_file_with_the_right_digest_is_there_whole() {
    let url = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let expected = digest_of("hello");
    let (result, dir) = fetch(&url, &expected);
    result.unwrap();
    assert_eq!(fs::read(dir.path().join(expected.as_str())).unwrap(), b"hello");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn whatever_else_comes_leaves_nothing() {
    let cases: [(&'static [u8], &str, &str); 4] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhallo", "ImageChecksumMismatch", "other"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "ImageUnreachable", "cut off"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "ImageUnreachable", "missing"),
        (b"SSH-2.0-OpenSSH\r\n", "ImageUnreachable", "not HTTP"),
    ];
    for (answer, reason, case) in cases {
        let (result, dir) = fetch(&serve(answer), &digest_of("hello"));
        let error = result.unwrap_err();
        assert_eq!(error.reason(), reason, "{case}: {error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{case}");
    }
}

#[test]
fn what_cannot_fit_is_not_begun() {
    let url = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n");
    let (result, _dir) = fetch(&url, &digest_of("hello"));
    let error = result.unwrap_err();
    assert_eq!(error.reason(), "NodeDiskFull", "{error}");
}

#[test]
fn a_cancelled_download_ends() {
    let url = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let dir = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let path = dir.path().join("image");
    let error = download(&url, &digest_of("hello"), &path, &cancel).unwrap_err();
    assert_eq!(error.reason(), "Cancelled");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
