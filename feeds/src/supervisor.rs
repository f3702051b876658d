//! Placeholder docs replaced below.

use crate::adapter::{Adapter, Sink};
use crate::error::FeedError;
use crate::run::Running;
use crate::settings::FeedSettings;
use tokio::sync::watch;

#[derive(Default)]
pub struct Options {}

pub fn start(
    adapter: Box<dyn Adapter>,
    _settings: &FeedSettings,
    sink: Box<dyn Sink>,
    mut stop: watch::Receiver<bool>,
    _options: Options,
) -> Result<Running, FeedError> {
    Ok(Box::pin(async move {
        let _held = (adapter, sink);
        let _ = stop.wait_for(|stop| *stop).await;
    }))
}
