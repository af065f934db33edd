//! An API of large bodies: makes them up, and checks them, piece by piece.

use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, HeaderMap, IF_RANGE, RANGE};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sha2::{Digest as _, Sha256};

/// Bytes of a piece.
pub const PIECE: usize = 64 * 1024;

/// So many bytes, no two pieces of which are the same.
pub struct Pattern {
    left: u64,
    number: u64,
}

impl Pattern {
    /// `bytes` of it.
    pub fn new(bytes: u64) -> Self {
        Self { left: bytes, number: 0 }
    }
}

impl Iterator for Pattern {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let length = PIECE.min(usize::try_from(self.left).unwrap_or(PIECE));
        if length == 0 {
            return None;
        }
        let mut piece: Vec<u8> = (0..=u8::MAX).cycle().take(PIECE).collect();
        // Lines and chunk ends among them, and where it stands.
        piece[100..112].copy_from_slice(b"\r\n0\r\n\r\nGET /");
        piece[..8].copy_from_slice(&self.number.to_be_bytes());
        piece.truncate(length);
        self.number += 1;
        self.left -= length as u64;
        Some(piece.into())
    }
}

/// SHA-256 of pieces.
#[derive(Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Of these.
    pub fn of(pieces: impl IntoIterator<Item = Bytes>) -> String {
        let mut digest = Self::default();
        pieces.into_iter().for_each(|piece| digest.update(&piece));
        digest.hex()
    }

    /// And of this one.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// As text.
    pub fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What `/coded` gives in a coding: bytes that are in none.
pub fn coded(coding: &str) -> Bytes {
    Bytes::from([coding.as_bytes(), &[0x1f, 0x8b, 0, 0xff, b'\r', b'\n', 0x28, 0xb5]].concat())
}

/// Starts the API on a thread of its own, which ends with the process, and gives its port on 127.0.0.1.
pub fn start() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound listener").port();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let app = || {
                App::new()
                    .route("/bulk/digest", web::post().to(digest))
                    .route("/bulk/sized/{bytes}", web::get().to(sized))
                    .route("/bulk/chunked/{bytes}", web::get().to(chunked))
                    .route("/bulk/coded", web::get().to(in_coding))
                    .route("/bulk/ranges", web::get().to(ranges))
                    .route("/bulk/small", web::get().to(async || "small"))
            };
            let server = HttpServer::new(app).workers(1).disable_signals().keep_alive(Duration::from_secs(75));
            server.listen(listener).expect("a bound listener").run().await.expect("it serves");
        });
    });
    port
}

async fn digest(request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    let mut digest = Digest::default();
    while let Some(piece) = payload.next().await {
        match piece {
            Ok(piece) => digest.update(&piece),
            Err(_) => return HttpResponse::BadRequest().finish(),
        }
    }
    let mut response = HttpResponse::Ok();
    if let Some(coding) = request.headers().get(CONTENT_ENCODING) {
        response.insert_header(("X-Content-Encoding", coding));
    }
    response.body(digest.hex())
}

async fn sized(bytes: web::Path<u64>) -> HttpResponse {
    HttpResponse::Ok().body(SizedStream::new(*bytes, pieces(*bytes)))
}

async fn chunked(bytes: web::Path<u64>) -> HttpResponse {
    HttpResponse::Ok().streaming(pieces(*bytes))
}

fn pieces(bytes: u64) -> impl futures_util::Stream<Item = Result<Bytes, actix_web::Error>> {
    stream::iter(Pattern::new(bytes).map(Ok))
}

async fn in_coding(request: HttpRequest) -> HttpResponse {
    let coding = text(request.headers(), ACCEPT_ENCODING.as_str()).to_owned();
    HttpResponse::Ok().insert_header((CONTENT_ENCODING, coding.as_str())).body(coded(&coding))
}

/// Ten bytes of version `"v1"`.
async fn ranges(request: HttpRequest) -> HttpResponse {
    let is_current = text(request.headers(), IF_RANGE.as_str()) == "\"v1\"";
    match text(request.headers(), RANGE.as_str()) {
        "bytes=2-4" if is_current => {
            HttpResponse::PartialContent().insert_header((CONTENT_RANGE, "bytes 2-4/10")).body("234")
        }
        "bytes=20-" if is_current => {
            HttpResponse::RangeNotSatisfiable().insert_header((CONTENT_RANGE, "bytes */10")).finish()
        }
        _ => HttpResponse::Ok().body("0123456789"),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
