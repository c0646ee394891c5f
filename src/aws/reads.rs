//! One look at the cloud: every list is asked for once and shared by the kinds that read it.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::borrowed_tags;
use super::cloud::Cloud;
use super::error::CloudError;
use crate::plan::{RESOURCE, STACK, Tags};

type Cell = Arc<OnceCell<Result<Arc<dyn Any + Send + Sync>, CloudError>>>;

/// The tag on everything that a CloudFormation stack has made.
const CLOUDFORMATION: &str = "aws:cloudformation:stack-name";

/// One look at what a stack has in the cloud.
pub struct Reads {
    /// Where to look.
    pub cloud: Cloud,
    /// Whose things to look for.
    pub stack: String,
    /// Whether a cluster that cannot be reached is passed over: so that it does not keep a stack from being taken down.
    pub forgiving: bool,
    notes: Mutex<BTreeSet<String>>,
    cells: Mutex<HashMap<String, Cell>>,
}

impl Reads {
    /// A fresh look: nothing is remembered from an earlier one.
    pub fn new(cloud: Cloud, stack: &str) -> Self {
        let (notes, cells) = (Mutex::default(), Mutex::default());
        Self { cloud, stack: stack.to_owned(), forgiving: false, notes, cells }
    }

    /// The same, passing over clusters that cannot be reached.
    pub fn forgiving(self) -> Self {
        Self { forgiving: true, ..self }
    }

    /// Remembers something that the user should be told of this look.
    pub fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    }

    /// The same, unless a note that begins with `start` is there already.
    pub fn note_first(&self, start: &str, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.iter().any(|note| note.starts_with(start)) {
            notes.insert(text);
        }
    }

    /// What the user should be told.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The answer to `question`, asked with `ask` by whoever comes first.
    ///
    /// # Errors
    /// The failure of the one call, to everyone who asked.
    pub async fn once<T, F>(&self, question: impl Into<String>, ask: impl FnOnce() -> F) -> Result<Arc<T>, CloudError>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, CloudError>>,
    {
        let question = question.into();
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(question.clone()).or_default())
        };
        let answer = cell
            .get_or_init(|| async { ask().await.map(|value| Arc::new(value) as Arc<dyn Any + Send + Sync>) })
            .await
            .clone()?;
        answer.downcast().map_err(|_| CloudError::incomplete("read", &question))
    }

    /// The filter that finds this stack's things in EC2.
    pub fn ours(&self) -> aws_sdk_ec2::types::Filter {
        filter(&format!("tag:{STACK}"), &self.stack)
    }

    /// The filter that finds this stack's things in EC2 and those that it borrows. It knows keys alone, so the
    /// things of other stacks come along.
    pub fn ours_or_borrowed(&self) -> aws_sdk_ec2::types::Filter {
        let keys = [STACK.to_owned(), borrowed_tags::marker_key(&self.stack)];
        aws_sdk_ec2::types::Filter::builder().name("tag-key").set_values(Some(keys.into())).build()
    }

    /// Whether `tags` say that something is this stack's, and at which address.
    ///
    /// CloudFormation hands the tags of its stacks down to what it makes: that belongs to the
    /// CloudFormation stack, and is not found on its own.
    pub fn address_in(&self, tags: &Tags) -> Option<crate::plan::Address> {
        if tags.contains_key(CLOUDFORMATION) {
            return None;
        }
        (tags.get(STACK) == Some(&self.stack)).then(|| tags.get(RESOURCE))?.map(|text| text.as_str().into())
    }
}

/// A filter of EC2 for one value.
pub fn filter(name: &str, value: &str) -> aws_sdk_ec2::types::Filter {
    aws_sdk_ec2::types::Filter::builder().name(name).values(value).build()
}
