//! The handler of a server's connections: `proxy_pass`, `pass` or `return`.

use super::pass::PassTo;
use super::proxy_pass::ProxyPass;
use super::resolver::NameResolution;
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::variables::value::Value;

/// nginx's words for a server without a handler.
pub(crate) const NO_HANDLER: &str = "no handler for server";

/// What serves the connections of a server, complete.
#[derive(Clone, Debug)]
pub(crate) enum Handler {
    /// None was written: connections end with status 500.
    Missing,
    /// `pass`: another listener.
    Pass(PassTo),
    /// `proxy_pass` with variables, and how a host that they name is looked up.
    Proxy(Value, NameResolution),
    /// `return`: fixed bytes, and the end of the connection.
    Return(Value),
    /// `proxy_pass` of an upstream that is known, or of one of those that a map has for server names.
    Upstream,
}

/// The directives as written in one block.
#[derive(Debug, Default)]
pub(crate) struct HandlerDraft {
    proxy_pass: Option<ProxyPass>,
    pass: Option<PassTo>,
    response: Option<Value>,
    last: Option<LastHandler>,
}

#[derive(Clone, Copy, Debug)]
enum LastHandler {
    Pass,
    ProxyPass,
    Return,
}

/// The handler that counts.
#[derive(Debug)]
pub(crate) enum WrittenHandler {
    Pass(PassTo),
    ProxyPass(ProxyPass),
    Return(Value),
}

impl HandlerDraft {
    /// As in nginx, the last of several directives counts.
    pub(crate) fn take(&mut self) -> Option<WrittenHandler> {
        match self.last? {
            LastHandler::Pass => self.pass.take().map(WrittenHandler::Pass),
            LastHandler::ProxyPass => self.proxy_pass.take().map(WrittenHandler::ProxyPass),
            LastHandler::Return => self.response.take().map(WrittenHandler::Return),
        }
    }
}

impl<B: Has<HandlerDraft>> Directive<B> {
    pub(crate) const PASS: Self = Self::simple("pass", Exactly(1), |block, statement, reader| {
        let draft = block.part();
        statement.once(&mut draft.pass, |statement| PassTo::read(statement, reader))?;
        draft.last = Some(LastHandler::Pass);
        Ok(())
    });

    pub(crate) const PROXY_PASS: Self =
        Self::simple("proxy_pass", Exactly(1), |block, statement, reader| {
            let draft = block.part();
            statement.once(&mut draft.proxy_pass, |statement| {
                ProxyPass::read(statement, reader)
            })?;
            draft.last = Some(LastHandler::ProxyPass);
            Ok(())
        });

    pub(crate) const RETURN: Self =
        Self::simple("return", Exactly(1), |block, statement, reader| {
            let draft = block.part();
            statement.once(&mut draft.response, |statement| {
                Value::compile(statement, statement.arg(), reader)
            })?;
            draft.last = Some(LastHandler::Return);
            Ok(())
        });
}
