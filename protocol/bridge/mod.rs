//! The bridges from values to other forms: to the types of a service by serde, and to plain JSON.
//!
//! The methods are those of [`Value`](crate::value::Value); see the module [`value`](crate::value).

mod de;
mod json;
mod native;
mod ser;

#[cfg(test)]
mod tests;
