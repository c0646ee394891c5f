//! The queue: taken from in batches, many at once while it is full, and deleted from in batches.

use std::sync::Mutex;
use std::sync::PoisonError;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use futures::future::join_all;
use jiff::Timestamp;

use crate::aws::{Class, Cloud, CloudError, call};

/// The most that SQS gives, or takes back, in one call.
pub const BATCH: usize = 10;
/// So many batches are taken at once while the queue is full. More would only be held in memory.
pub const AT_ONCE: usize = 8;
/// So long SQS waits for a message before it answers that there is none.
const LONG_POLL_SECONDS: i32 = 20;
/// A message that was taken and not deleted comes again after so long.
const VISIBILITY_SECONDS: i32 = 20;

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it says.
    pub body: String,
    /// By what it is deleted.
    pub handle: String,
    /// When it was sent.
    pub sent: Option<Timestamp>,
}

/// A queue that somebody else makes, and may delete.
#[derive(Debug)]
pub struct Queue {
    cloud: Cloud,
    name: String,
    url: Mutex<Option<String>>,
    full: Mutex<bool>,
}

impl Queue {
    /// The queue of this name. Nothing is asked yet.
    pub fn new(cloud: Cloud, name: &str) -> Self {
        Self { cloud, name: name.to_owned(), url: Mutex::default(), full: Mutex::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes what is there, at most [`BATCH`] × [`AT_ONCE`]; waits a while for the first message when there is none.
    ///
    /// # Errors
    /// The call's; of class `Missing` when there is no such queue.
    pub async fn take(&self) -> Result<Vec<Taken>, CloudError> {
        let url = self.url().await?;
        let was_full = *self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = if was_full {
            let batches = join_all((0..AT_ONCE).map(|_| self.receive(&url, 0))).await;
            // What one call has taken is handled although another one failed; that failure comes again.
            let failed = batches.iter().all(Result::is_err);
            if failed {
                batches.into_iter().next().unwrap_or(Ok(Vec::new()))
            } else {
                Ok(batches.into_iter().flatten().flatten().collect())
            }
        } else {
            self.receive(&url, LONG_POLL_SECONDS).await
        };
        let full = taken.as_ref().is_ok_and(|taken| taken.len() >= BATCH);
        *self.full.lock().unwrap_or_else(PoisonError::into_inner) = full;
        taken.inspect_err(|error| self.forget_url(error))
    }

    /// Deletes messages by their handles; how many were deleted. What could not be comes again.
    ///
    /// # Errors
    /// The first call that fails.
    pub async fn delete(&self, handles: &[String]) -> Result<usize, CloudError> {
        let url = self.url().await?;
        let deleted = join_all(handles.chunks(BATCH).map(|batch| self.delete_batch(&url, batch))).await;
        let deleted: Result<Vec<usize>, CloudError> = deleted.into_iter().collect();
        deleted.map(|counts| counts.iter().sum()).inspect_err(|error| self.forget_url(error))
    }

    async fn receive(&self, url: &str, wait: i32) -> Result<Vec<Taken>, CloudError> {
        let request = self
            .cloud
            .read
            .sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(i32::try_from(BATCH).unwrap_or(1))
            .visibility_timeout(VISIBILITY_SECONDS)
            .wait_time_seconds(wait)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let answer = call("sqs:ReceiveMessage", request.send()).await?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(taken).collect())
    }

    async fn delete_batch(&self, url: &str, handles: &[String]) -> Result<usize, CloudError> {
        let mut request = self.cloud.read.sqs.delete_message_batch().queue_url(url);
        for (at, handle) in handles.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string()).receipt_handle(handle).build();
            request = request.entries(entry.map_err(|_| CloudError::incomplete("sqs:DeleteMessageBatch", "handle"))?);
        }
        Ok(call("sqs:DeleteMessageBatch", request.send()).await?.successful().len())
    }

    async fn url(&self) -> Result<String, CloudError> {
        let known = self.url.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(url) = known {
            return Ok(url);
        }
        let answer = call("sqs:GetQueueUrl", self.cloud.read.sqs.get_queue_url().queue_name(&self.name).send()).await?;
        let url = answer.queue_url.ok_or_else(|| CloudError::incomplete("sqs:GetQueueUrl", "URL"))?;
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.clone());
        Ok(url)
    }

    /// A queue that was deleted may be made anew, by another URL.
    fn forget_url(&self, error: &CloudError) {
        if error.class == Class::Missing {
            *self.url.lock().unwrap_or_else(PoisonError::into_inner) = None;
            *self.full.lock().unwrap_or_else(PoisonError::into_inner) = false;
        }
    }
}

fn taken(message: Message) -> Option<Taken> {
    let sent = message.attributes.as_ref().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    let sent = sent.and_then(|text| text.parse().ok()).and_then(|time| Timestamp::from_millisecond(time).ok());
    Some(Taken { body: message.body.unwrap_or_default(), handle: message.receipt_handle?, sent })
}
