//! How a rumor spread, drawn for a page.
use chinwag::simulation::spread::{Report, Run, Spread};
pub(super) fn draw(_: &Spread, _: &[Run], _: &Report) -> Result<String, String> {
    Ok(String::new())
}
