//! The lab's web server: where servers' images come from. Each request is a
//! line in its log, so that a test can count them.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

/// Serves the files below `dir` until the process is ended.
pub fn run(dir: PathBuf, listen: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let router = Router::new().fallback(serve).with_state(dir);
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .with_context(|| format!("listen on {listen}"))?;
        axum::serve(listener, router).await.context("serve files")
    })
}

async fn serve(State(dir): State<PathBuf>, method: Method, uri: Uri) -> Response {
    let response = answer(&dir, &method, uri.path()).await;
    println!("{} {method} {} {}", jiff::Timestamp::now(), uri.path(), response.status().as_u16());
    response
}

async fn answer(dir: &Path, method: &Method, path: &str) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let Some(name) = below(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(file) = File::open(dir.join(name)).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match file.metadata().await {
        Ok(metadata) if metadata.is_file() => {
            let length = [(header::CONTENT_LENGTH, metadata.len())];
            let body = if *method == Method::HEAD {
                Body::empty()
            } else {
                Body::from_stream(ReaderStream::with_capacity(file, 256 * 1024))
            };
            (length, body).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The path relative to the served directory; none if it leads out of it.
fn below(path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    (inside && !relative.as_os_str().is_empty()).then(|| relative.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        assert_eq!(below("/images/tiny.qcow2"), Some(PathBuf::from("images/tiny.qcow2")));
        for path in ["/", "", "/../x", "/a/../../x", "//../etc/passwd"] {
            assert_eq!(below(path), None, "{path}");
        }
    }

    #[tokio::test]
    async fn answers_with_the_length_of_the_file_and_nothing_for_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "12345").unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let found = answer(dir.path(), &Method::GET, "/x").await;
        assert_eq!(found.headers()[header::CONTENT_LENGTH], "5");
        assert_eq!(&axum::body::to_bytes(found.into_body(), 100).await.unwrap()[..], b"12345");
        for (method, path, status) in
            [(Method::GET, "/d", 404), (Method::GET, "/y", 404), (Method::POST, "/x", 405)]
        {
            assert_eq!(answer(dir.path(), &method, path).await.status(), status);
        }
    }
}
