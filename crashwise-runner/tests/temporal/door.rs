//! A door before the Temporal server: TLS with a certificate of its own, and only for who has the key.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

pub(crate) struct Door {
    pub(crate) address: String,
    /// The certificate, in PEM.
    pub(crate) certificate: Vec<u8>,
    key: Arc<Mutex<String>>,
}

impl Door {
    /// A door before a server at `http://HOST:PORT`.
    pub(crate) async fn open(server: &str, key: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let own = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![made.cert.der().clone()], own.into()).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let key = Arc::new(Mutex::new(key.to_owned()));
        let (server, keys) = (server.trim_start_matches("http://").to_owned(), Arc::clone(&key));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, server, keys) = (acceptor.clone(), server.clone(), Arc::clone(&keys));
                // Who does not trust the certificate hangs up.
                tokio::spawn(async move { guest(acceptor, socket, &server, keys).await });
            }
        });
        Self { address, certificate: made.cert.pem().into_bytes(), key }
    }

    /// Takes another key from now on.
    pub(crate) fn change_key(&self, key: &str) {
        key.clone_into(&mut self.key.lock().unwrap());
    }
}

async fn guest(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    server: &str,
    keys: Arc<Mutex<String>>,
) -> Option<()> {
    let mut guest = h2::server::handshake(acceptor.accept(socket).await.ok()?).await.ok()?;
    let (sender, connection) = h2::client::handshake(TcpStream::connect(server).await.ok()?).await.ok()?;
    tokio::spawn(connection);
    while let Some(Ok((request, respond))) = guest.accept().await {
        let expect = format!("Bearer {}", keys.lock().unwrap());
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if given == Some(&*expect) {
            tokio::spawn(pass(request, respond, sender.clone()));
        } else {
            refuse(respond)?;
        }
    }
    Some(())
}

fn refuse(mut respond: SendResponse<Bytes>) -> Option<()> {
    let refused = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", "16")
        .header("grpc-message", "the key has expired");
    respond.send_response(refused.body(()).ok()?, true).ok().map(drop)
}

async fn pass(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    sender: h2::client::SendRequest<Bytes>,
) -> Option<()> {
    let (mut head, body) = request.into_parts();
    head.uri = head.uri.to_string().replacen("https:", "http:", 1).parse().ok()?;
    let mut sender = sender.ready().await.ok()?;
    let (answer, out) = sender.send_request(Request::from_parts(head, ()), false).ok()?;
    let back = async {
        let (head, body) = answer.await.ok()?.into_parts();
        let over = body.is_end_stream();
        let out = respond.send_response(Response::from_parts(head, ()), over).ok()?;
        if over { Some(()) } else { copy(body, out).await }
    };
    tokio::join!(copy(body, out), back).1
}

async fn copy(mut from: RecvStream, mut to: SendStream<Bytes>) -> Option<()> {
    while let Some(chunk) = from.data().await {
        let chunk = chunk.ok()?;
        from.flow_control().release_capacity(chunk.len()).ok()?;
        to.send_data(chunk, false).ok()?;
    }
    match from.trailers().await.ok()? {
        Some(trailers) => to.send_trailers(trailers).ok(),
        None => to.send_data(Bytes::new(), true).ok(),
    }
}
