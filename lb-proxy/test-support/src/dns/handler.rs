//! Reads questions and sends answers.

use std::sync::{Arc, Mutex};

use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata};
use hickory_server::proto::rr::Name;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

use super::zone::{Zone, key};

/// Answers questions from the zone.
pub(super) struct Handler {
    pub(super) zone: Arc<Mutex<Zone>>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let Ok(info) = request.request_info() else {
            return unanswered(metadata);
        };
        let (reply, truncated, delay) = {
            let name = Name::from(info.query.name());
            let kind = info.query.query_type();
            let mut zone = self.zone.lock().expect("no test panics with the zone");
            let seen = (key(&name.to_string()), kind, request.protocol());
            zone.seen.push(seen);
            if zone.silent || zone.silent_kinds.contains(&kind) {
                return unanswered(metadata);
            }
            let delay = zone.late_kinds.get(&kind).copied();
            (zone.reply(&name, kind), zone.truncated, delay)
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        metadata.response_code = reply.code;
        metadata.truncation = truncated;
        let response = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &reply.answers,
            &reply.authorities,
            &reply.soa,
            &reply.additional,
        );
        match responses.send_response(response).await {
            Ok(info) => info,
            Err(_) => unanswered(metadata), // the client has gone
        }
    }
}

fn unanswered(metadata: Metadata) -> ResponseInfo {
    ResponseInfo::from(Header {
        metadata,
        counts: HeaderCounts::default(),
    })
}
