//! HTTP requests balanced one by one over the pooled connections of hyper's client: `http_client COUNT BACKEND...`.

use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use lb_proxy::Pool;
use lb_proxy::lb_core::Backend;
use lb_proxy::tower::RequestOutcome;
use tower::{ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments
        .next()
        .ok_or("http_client COUNT BACKEND...")?
        .parse()?;
    let pool = Pool::fixed(arguments)?;

    // The glue: a client for each backend is one client that gets the backend's address.
    let client = Client::builder(TokioExecutor::new()).build_http();
    let balanced = pool.balance(service_fn(move |backend: Arc<Backend>| {
        let client = client.clone();
        let send = move |path: String| {
            let request = Request::get(format!("http://{}{path}", backend.addr));
            client.request(request.body(Empty::<Bytes>::new()).expect("a path"))
        };
        ready(Ok::<_, Infallible>(service_fn(send)))
    }));

    let balanced = balanced.retry(|error| error.is_connect()); // on another backend
    let balanced = balanced.classify(|result| match result {
        Ok(response) if !response.status().is_server_error() => RequestOutcome::Served,
        _ => RequestOutcome::Failed,
    });
    for _ in 0..count {
        let response = balanced.clone().oneshot("/".to_owned()).await?;
        let body = response.into_body().collect().await?.to_bytes();
        eprintln!("{}", String::from_utf8_lossy(&body));
    }
    Ok(())
}
