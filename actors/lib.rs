//! One actix actor per service.
