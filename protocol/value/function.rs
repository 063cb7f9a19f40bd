//! [`Function`]: source text, and in its own process what stands for the function itself.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A function as source text. Cheap to clone.
///
/// ```
/// use chinwag_protocol::value::Function;
///
/// let double = Function::new("(x) => 2 * x");
/// assert_eq!(double.source(), "(x) => 2 * x");
/// ```
#[derive(Clone)]
pub struct Function(Arc<Source>);

struct Source {
    text: Box<str>,
    original: Option<Original>,
}

/// What stands for the function itself in the process that holds it. Dropping the last clone tells its owner.
type Original = Arc<dyn Any + Send + Sync>;

impl Function {
    /// Creates a function from its source. The source is not parsed here; a node that runs the function does that.
    pub fn new(source: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Source { text: source.into(), original: None }))
    }

    /// Returns the source text.
    pub fn source(&self) -> &str {
        &self.0.text
    }

    /// Attaches what stands for the function itself, with its variables, in this process. It is not sent to other nodes,
    /// and two functions with equal sources stay equal.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use chinwag_protocol::value::Function;
    ///
    /// let function = Function::new("() => count").with_original(Arc::new(7_u32));
    /// assert_eq!(function.original::<u32>(), Some(&7));
    /// assert_eq!(function, Function::new("() => count"));
    /// ```
    #[must_use]
    pub fn with_original(self, original: Arc<dyn Any + Send + Sync>) -> Self {
        Self(Arc::new(Source { text: self.source().into(), original: Some(original) }))
    }

    /// Returns what [`with_original`](Self::with_original) attached, if it has this type.
    pub fn original<T: Any>(&self) -> Option<&T> {
        self.0.original.as_deref().and_then(|original| original.downcast_ref())
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&self.source()).finish()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.source().hash(hasher);
    }
}
