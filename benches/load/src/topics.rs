//! What there is to subscribe to. In: a pattern. Out: the names of all topics it matches now, asked of the server by `list`.
//! Bounded by the server's instruments, a page at a time.

use crate::LoadError;
use crate::plan::Plan;
use client::{Client, Options, Step};
use std::time::Duration;
use wire::request::Reply;

const PAGE: u32 = 500;
const PATIENCE: Duration = Duration::from_secs(30);

/// Names of the pattern's kind and argument, in the server's order.
pub fn expand(plan: &Plan, pattern: &str) -> Result<Vec<String>, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Runtime)?;
    let list = async { tokio::time::timeout(PATIENCE, list(plan, pattern)).await };
    let names = runtime.block_on(list).map_err(|_| LoadError::List("no answer in time".to_owned()))??;
    if names.is_empty() {
        return Err(LoadError::List(format!("nothing matches '{pattern}'")));
    }
    Ok(names)
}

async fn list(plan: &Plan, pattern: &str) -> Result<Vec<String>, LoadError> {
    let (kind, argument) = parts(pattern);
    let options =
        Options { trust: plan.trust.clone(), token: plan.token.clone(), reconnect: None, ..Options::new(plan.url.clone()) };
    let mut client = Client::new(&options)?;
    let mut names = Vec::new();
    loop {
        match client.next(|_| {}).await? {
            Step::Connected(_) => drop(client.list(pattern, Some(PAGE), None)),
            Step::Reply(Reply::Instruments { instruments, next, .. }) => {
                names.extend(instruments.iter().map(|found| format!("{kind}/{}:{}{argument}", found.venue, found.symbol)));
                match next {
                    Some(next) => drop(client.list(pattern, Some(PAGE), Some(next))),
                    None => break,
                }
            }
            Step::Reply(Reply::Error { message, .. }) => return Err(LoadError::List(message)),
            _ => {}
        }
    }
    client.close().await;
    Ok(names)
}

/// `book/sim:*/10` is `book` and `/10`.
fn parts(pattern: &str) -> (&str, &str) {
    let (kind, rest) = pattern.split_once('/').unwrap_or((pattern, ""));
    (kind, rest.find('/').map_or("", |at| &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_a_kind_and_maybe_an_argument() {
        assert_eq!(parts("book/sim:*/10"), ("book", "/10"));
        assert_eq!(parts("trade/sim:*"), ("trade", ""));
    }
}
